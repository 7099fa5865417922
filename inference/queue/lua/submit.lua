-- submit: ARGV now, sealed ticket, key | '', tries already spent. Answers a place. Idempotent by turn.
local key, admitted_us = ARGV[3], 600000000
local t = unseal(ARGV[2])
if key ~= '' then
  call('ZREM', K .. ':places', key)
  call('ZREM', K .. ':pp:' .. t.person, key)
  call('HSET', K .. ':a:' .. key, 'till', exact(now + admitted_us), 'turn', t.turn)
  expire(K .. ':a:' .. key, admitted_us)
end
local old = ticket_of(t.turn)
if old and old.s ~= 'x' then
  return place(old)
end

local p = person_of(t.person)
if p.q == 0 then
  p.v = math.max(p.v, state('v'))
end
p.w, p.cap, p.hard = t.w, t.cap, t.hard
if p.q + p.r < p.cap then
  local light, light_at = state('light', 'light_at')
  local tau = tonumber(cfg[12])
  light = light * fading(light_at, tau) + 1 / tau
  call('HSET', K .. ':st', 'light', exact(light), 'light_at', exact(now))
end
t.seq, t.at, t.tries = call('HINCRBY', K .. ':st', 'seq', 1), now, tonumber(ARGV[4])
t.f, t.stop, t.kv, t.ch, t.out, t.start = old and old.f or 0, false, 0, 0, 0, 0
enqueue(t)
person_save(p)
return place(t)
