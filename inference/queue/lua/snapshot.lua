-- snapshot: ARGV now, persons to name at most. Answers numbers as strings, then per person id, waiting, running, v.
local oldest = call('ZRANGE', K .. ':order', 0, 0, 'WITHSCORES')
local kv, svc = state('kv', 'svc')
local heads = {}
for _, set in ipairs({ ':ready', ':borrow' }) do
  for _, id in ipairs(call('ZRANGE', K .. set, 0, tonumber(ARGV[2]) - 1)) do
    if #heads < 4 * tonumber(ARGV[2]) then
      local p = person_of(id)
      for _, value in ipairs({ id, p.q, p.r, exact(p.v) }) do
        heads[#heads + 1] = value
      end
    end
  end
end
return {
  call('ZCARD', K .. ':order'), running(), call('ZCOUNT', K .. ':places', '(' .. exact(now), '+inf'), slots, reserve(),
  kv, kv_budget, call('ZCARD', K .. ':ready') + call('ZCARD', K .. ':borrow'),
  oldest[2] and exact(math.max(0, now - tonumber(oldest[2])) / 1000000) or '0', exact(svc), heads,
}
