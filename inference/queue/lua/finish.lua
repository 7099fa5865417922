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

-- A quantile by stochastic approximation (Robbins and Monro): up by 0.8 steps, down by 0.2.
local function p80(old, n, x)
  if n == 0 then
    return x
  end
  local step = math.max(8, old * 0.1)
  return math.max(1, x > old and old + 0.8 * step or old - 0.2 * step)
end

-- What this answer tells about the next ones; one that never began tells nothing.
local function learn(input, output)
  if input > 0 then
    local in_p80, in_n = state('in_p80', 'in_n')
    local part = math.floor(1000 * math.min(1, input / t.input) + 0.5)
    call('HSET', K .. ':st', 'in_p80', exact(p80(in_p80, in_n, part)), 'in_n', math.min(in_n + 1, 1000))
  end
  p.out_p80, p.out_n = p80(p.out_p80, p.out_n, output), math.min(p.out_n + 1, 1000)
  local out_p80, out_n, svc, gap, gap_n, freed_at = state('out_p80', 'out_n', 'svc', 'gap', 'gap_n', 'freed_at')
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
  call('HSET', K .. ':st', 'out_p80', exact(p80(out_p80, out_n, output)), 'out_n', math.min(out_n + 1, 1000),
    'svc', exact(svc), 'gap', exact(gap), 'gap_n', gap_n, 'freed_at', waiting and exact(now) or 0)
end

local input, output = tonumber(ARGV[5]), tonumber(ARGV[7])
p.v = math.max(0, p.v + (cost(input, tonumber(ARGV[6]), output) - t.ch) / t.w)
if output > 0 then
  learn(input, output)
end
vacate(t, p)
bury(t, 'd')
person_save(p)
return { 1, wakeups() }
