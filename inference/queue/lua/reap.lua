-- reap: ARGV now. Answers {requeued turn, person, …}, {dead turn, person, …}, wake-ups.
local requeued, dead = {}, {}
-- A clock that was set back must not keep a dead worker's lease alive for as long.
local latest = exact(now + lease_us)
for _, turn in ipairs(call('ZRANGEBYSCORE', K .. ':leases', '(' .. latest, '+inf', 'LIMIT', 0, batch_max)) do
  call('ZADD', K .. ':leases', latest, turn)
end
for _, turn in ipairs(call('ZRANGEBYSCORE', K .. ':leases', '-inf', exact(now), 'LIMIT', 0, batch_max)) do
  local t = ticket_of(turn)
  local p, list = person_of(t.person), requeued
  t.tries = t.tries + 1
  put_back(t, p)
  if t.tries >= tonumber(cfg[7]) then
    list = dead
    dequeue(t)
    bury(t, 'x')
    person_save(person_of(t.person))
  end
  list[#list + 1] = turn
  list[#list + 1] = t.person
end
return { requeued, dead, wakeups() }
