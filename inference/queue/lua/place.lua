-- Where a waiting ticket stands; put behind common.lua where an operation answers a position.
-- Returns the position (1 = next, 0 = running) and the expected wait in seconds as a string.
local function place(t)
  if t.s ~= 'q' then
    return { 0, '0' }
  end
  local p = person_of(t.person)
  local own = call('ZRANK', K .. ':q:' .. t.person, t.turn)
  local free = slots - running()
  local rank = call('ZRANK', K .. ':ready', t.person)
  if not rank then
    rank = call('ZCARD', K .. ':ready') + (call('ZRANK', K .. ':borrow', t.person) or call('ZCARD', K .. ':borrow'))
    free = free - reserve()
  end
  local kv, svc, gap, weights, v, dv, dv_n, chg = state('kv', 'svc', 'gap', 'w', 'v', 'dv', 'dv_n', 'chg')
  if kv_budget > 0 and kv + kv_need(p, t) > kv_budget then
    free = 0
  end
  svc = svc > 0 and svc or tonumber(cfg[15])
  gap = gap > 0 and gap or svc / math.max(1, slots)
  local ahead
  if dv_n >= samples_min and dv > 0 then
    -- This ticket is next when virtual time has come to its person's counter and what is charged until then. It may
    -- stand still while newcomers pass, but nobody is passed by for longer than starve_us.
    local until_then = math.max(0, p.v - v) + (own + p.r / 2) * chg / p.w
    ahead = math.min(until_then / dv, (own + 1) * tonumber(cfg[16]) / 1000000 / gap)
    ahead = math.max(ahead, own, rank < call('ZCARD', K .. ':ready') and rank or 0)
  else
    -- While one own ticket is served, the others get weights ÷ own weight of theirs, as far as there are tickets.
    ahead = math.min(call('ZCARD', K .. ':order') - 1, rank + own * math.max(1, weights / p.w))
  end
  local wait = rank + own < free and 0 or math.max(0, ahead - math.max(0, free) + 1) * gap
  if p.hard > 0 then
    wait = math.max(wait, math.floor((own + p.r) / p.hard) * svc / 2)
  end
  return { rank + own + 1, exact(wait) }
end
