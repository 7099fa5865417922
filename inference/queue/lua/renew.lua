-- renew: ARGV now, turn, fence, output tokens so far, sealed claim. Answers 0 not the holder, 1 alive, 2 cancelled.
local t = held(ARGV[2], tonumber(ARGV[3]), ARGV[5])
if not t then
  return 0
end
local out = math.max(t.out, tonumber(ARGV[4]))
if out > t.out then
  local charge = 2 * (out - t.out)
  -- The estimate stays reserved until the answer outgrows it: what is written next needs it still.
  local kv = math.max(t.kv, expected_input(t) + out)
  call('HSET', K .. ':t:' .. t.turn, 'out', exact(out), 'ch', exact(t.ch + charge), 'kv', exact(kv))
  if kv > t.kv then
    call('HINCRBY', K .. ':st', 'kv', exact(kv - t.kv))
  end
  local person = K .. ':p:' .. t.person
  local v = exact(tonumber(call('HGET', person, 'v')) + charge / t.w)
  call('HSET', person, 'v', v)
  call('ZADD', K .. ':ready', 'XX', v, t.person)
  call('ZADD', K .. ':borrow', 'XX', v, t.person)
end
call('ZADD', K .. ':leases', exact(now + lease_us), t.turn)
return t.stop and 2 or 1
