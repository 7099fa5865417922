-- position: ARGV now, turn. Answers a place, or nothing for a turn that neither waits nor runs.
local t = ticket_of(ARGV[2])
if not t or t.s == 'd' or t.s == 'x' then
  return {}
end
return place(t)
