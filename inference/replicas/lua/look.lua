-- look: ARGV now, then urls. Answers five numbers for each: in flight, 1 while it is out of service, requests that
-- failed in a row, seconds until it is looked at again, 1 where a probe is due.
local answers = {}
for i = 2, #ARGV do
  local h = health(ARGV[i])
  local left_us = math.max(0, h.till - now)
  answers[#answers + 1] = in_flight(ARGV[i])
  answers[#answers + 1] = h.out and 1 or 0
  answers[#answers + 1] = h.fails
  answers[#answers + 1] = exact(left_us / 1000000)
  answers[#answers + 1] = h.probe and left_us == 0 and 1 or 0
end
return answers
