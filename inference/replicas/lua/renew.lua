-- renew: ARGV now, lease_us, then url and lease of each. A lease that Redis has lost, or that has lapsed, is taken up
-- again. Answers 1 for each of those, 0 for the others.
local answers = {}
for i = 3, #ARGV, 2 do
  in_flight(ARGV[i])
  answers[#answers + 1] = lease(ARGV[i], ARGV[i + 1], tonumber(ARGV[2]))
end
return answers
