-- What an answer tells about the next ones; put behind common.lua where an operation ends a generation.

-- A quantile by stochastic approximation (Robbins and Monro): up by 0.8 steps, down by 0.2.
local function p80(old, n, x)
  if n == 0 then
    return x
  end
  local step = math.max(8, old * 0.1)
  return math.max(1, x > old and old + 0.8 * step or old - 0.2 * step)
end

-- How long this person's answers are, and everybody's, and what the prompt took of its bound; an answer that never
-- began tells nothing.
local function learn_lengths(t, p, input, output)
  if output > 0 then
    p.out_p80, p.out_n = p80(p.out_p80, p.out_n, output), math.min(p.out_n + 1, 1000)
    local all, n = state('out_p80', 'out_n')
    call('HSET', K .. ':st', 'out_p80', exact(p80(all, n, output)), 'out_n', math.min(n + 1, 1000))
    if input > 0 and t.step == 0 then
      local part, part_n = state('in_p80', 'in_n')
      local took = math.floor(1000 * math.min(1, input / t.input) + 0.5)
      call('HSET', K .. ':st', 'in_p80', exact(p80(part, part_n, took)), 'in_n', math.min(part_n + 1, 1000))
    end
  end
end
