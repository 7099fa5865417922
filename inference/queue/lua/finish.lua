-- finish: ARGV now, turn, fence, sealed claim, then input, cached and output tokens, or nothing more: requeue without
-- spending a try. Answers {1 accepted | 0 stale, wake-ups}.
local t = held(ARGV[2], tonumber(ARGV[3]), ARGV[4])
if not t then
  return { 0, wakeups() }
end
local p = person_of(t.person)
if not ARGV[5] then
  put_back(t, p)
  return { 1, wakeups() }
end

-- What the queue's pace is and what it charges.
local function learn_pace(charge)
  local svc, gap, gap_n, freed_at, chg = state('svc', 'gap', 'gap_n', 'freed_at', 'chg')
  if t.start > 0 then
    local took = math.max(0, now - t.start) / 1000000
    svc = svc == 0 and took or svc + 0.1 * (took - svc)
  end
  -- The spacing of freed slots counts as the queue's pace only while somebody was waiting for one.
  local waiting = call('ZCARD', K .. ':order') > 0
  if waiting and freed_at > 0 then
    gap_n = math.min(gap_n + 1, 20)
    gap = gap + (math.max(0, now - freed_at) / 1000000 - gap) / gap_n
  end
  call('HSET', K .. ':st', 'svc', exact(svc), 'chg', exact(chg == 0 and charge or chg + 0.1 * (charge - chg)),
    'gap', exact(gap), 'gap_n', gap_n, 'freed_at', waiting and exact(now) or 0)
end

local input, output = tonumber(ARGV[5]), tonumber(ARGV[7])
local charge = cost(input, tonumber(ARGV[6]), output)
p.v = math.max(0, p.v + (charge - t.ch) / t.w)
learn_lengths(t, p, input, output)
if output > 0 then
  learn_pace(charge)
end
vacate(t, p)
bury(t, 'd')
person_save(p)
return { 1, wakeups() }
