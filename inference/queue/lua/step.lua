-- step: ARGV now, turn, fence, sealed claim, the ended generation's input, cached and output tokens, the sealed ticket
-- of the next one. Answers {0 stale | 1 goes on | 2 waits for KV at the head | 3 cancelled, nothing changed, wake-ups}.
-- Idempotent by the ticket's step.
local t, following = held(ARGV[2], tonumber(ARGV[3]), ARGV[4]), unseal(ARGV[8])
if not t then
  return { 0, wakeups() }
elseif t.stop then
  return { 3, wakeups() }
elseif t.step >= following.step then
  return { 1, wakeups() }
end
local p, input, output = person_of(t.person), tonumber(ARGV[5]), tonumber(ARGV[7])
p.v = math.max(0, p.v + (cost(input, tonumber(ARGV[6]), output) - t.ch) / t.w)
learn_lengths(t, p, input, output)
t.ch, t.out = 0, 0
for _, field in ipairs({ 'input', 'cached', 'out_max', 'step', 'b' }) do
  t[field] = following[field]
end

local need = kv_need(p, t)
if kv_budget > 0 and running() > 1 and state('kv') - t.kv + need > kv_budget then
  put_back(t, p)
  -- If the queue drains for nobody else, it does for this one, as if its turn had come now.
  if not waiting_for_kv() then
    call('HSET', K .. ':st', 'blk', t.turn, 'blk_at', exact(now))
  end
  return { 2, wakeups() }
end
call('HINCRBY', K .. ':st', 'kv', exact(need - t.kv))
t.kv, t.ch = need, cost(t.input, t.cached, 0)
p.v = p.v + t.ch / t.w
call('ZADD', K .. ':leases', exact(now + lease_us), t.turn)
ticket_save(t)
person_save(p)
return { 1, wakeups() }
