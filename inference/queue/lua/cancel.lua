-- cancel: ARGV now, turn. Answers 0 unknown, 1 removed, 2 flagged.
local t = ticket_of(ARGV[2])
if t and t.s == 'q' then
  dequeue(t)
  bury(t, 'x')
  person_save(person_of(t.person))
  return 1
elseif t and t.s == 'r' then
  call('HSET', K .. ':t:' .. t.turn, 'stop', '1')
  return 2
end
return 0
