-- admit: ARGV now, key, person, tokens, queued_max of the person, then per limit: name, amount, period in µs, 1 if it
-- counts tokens. Answers {0 | 1, place till, turn | ''} for a new | known key, {-1, limit, µs to wait} or
-- {-2, 'person' | 'all', µs to wait}. A refusal changes nothing.
local key, person, tokens = ARGV[2], ARGV[3], tonumber(ARGV[4])
local place_us, purge_max = tonumber(cfg[6]), 64
local seen = call('HMGET', K .. ':a:' .. key, 'till', 'turn')
if seen[1] and tonumber(seen[1]) > now then
  return { 1, seen[1], seen[2] or '' }
end

local function kept(set)
  local old = call('ZRANGEBYSCORE', set, '-inf', exact(now), 'LIMIT', 0, purge_max)
  if #old > 0 then
    call('ZREM', set, unpack(old))
  end
  return call('ZCOUNT', set, '(' .. exact(now), '+inf')
end

local function full(scope)
  local gap, svc = state('gap', 'svc')
  local pace = gap > 0 and gap or (svc > 0 and svc or tonumber(cfg[15])) / math.max(1, slots)
  -- A person's own tickets leave one by one, each after about a service time.
  local wait_s = scope == 'all' and pace or math.max(pace, svc)
  return { -2, scope, exact(math.max(1, math.min(60, wait_s)) * 1000000) }
end

local own = kept(K .. ':pp:' .. person) + call('ZCARD', K .. ':q:' .. person)
if own >= tonumber(ARGV[5]) then
  return full('person')
end
if kept(K .. ':places') + call('ZCARD', K .. ':order') >= tonumber(cfg[4]) then
  return full('all')
end

-- A wait of less than a µs is a rounding.
local fields, worst, worst_name, last = {}, 1, nil, now
for i = 6, #ARGV, 4 do
  local name, amount, period = ARGV[i], tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2])
  local unit, units = 'r', 1
  if ARGV[i + 3] == '1' then
    unit, units = 't', tokens
  end
  local owed, counted = 0, call('HGET', limits_of(person), name)
  if counted then
    local due, per = rate_unpack(counted)
    owed = math.max(0, due - now)
    if per ~= period / amount then
      owed = owed / per * (period / amount)
    end
  end
  local wait = owed + math.min(units, amount) * period / amount - period
  if wait > worst then
    worst, worst_name = wait, name
  end
  local due = now + owed + units * period / amount
  last = math.max(last, due)
  fields[#fields + 1] = name
  fields[#fields + 1] = rate_pack(due, period / amount, unit)
end
if worst_name then
  return { -1, worst_name, exact(math.ceil(worst)) }
end
if #fields > 0 then
  limits_save(person, fields, last)
end

local till = exact(now + place_us)
call('ZADD', K .. ':places', till, key)
call('ZADD', K .. ':pp:' .. person, till, key)
call('DEL', K .. ':a:' .. key)
call('HSET', K .. ':a:' .. key, 'till', till, 'tokens', exact(tokens))
for _, used in ipairs({ K .. ':places', K .. ':pp:' .. person, K .. ':a:' .. key }) do
  expire(used, place_us)
end
return { 0, till, '' }
