-- move: ARGV now, turn, weight, in flight at most. Gives a waiting ticket another weight and bound; a weight of 0 takes
-- it out. Answers 1, or 0 where the turn does not wait: what runs is left alone.
local t = ticket_of(ARGV[2])
if not t or t.s ~= 'q' then
  return 0
end
if ARGV[3] == '0' then
  dequeue(t)
  bury(t, 'x')
  person_save(person_of(t.person))
  return 1
end
local p = person_of(t.person)
p.w, p.hard = tonumber(ARGV[3]), tonumber(ARGV[4])
t.b = string.gsub(t.b, '^([^:]+:[^:]+):[^:]+:([^:]+):[^:]+:', '%1:' .. ARGV[3] .. ':%2:' .. ARGV[4] .. ':')
ticket_save(t)
person_save(p)
return 1
