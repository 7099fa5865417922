-- claim: ARGV now. Answers {dropped turn, person, turn, person …} alone, or with the claimed ticket behind:
-- sealed, fence, lease till, tries, at, seconds waited. All numbers as strings.
local dropped = {}
for _, turn in ipairs(call('ZRANGEBYSCORE', K .. ':due', '-inf', exact(now), 'LIMIT', 0, batch_max)) do
  local t = ticket_of(turn)
  dequeue(t)
  bury(t, 'x')
  person_save(person_of(t.person))
  dropped[#dropped + 1] = turn
  dropped[#dropped + 1] = t.person
end

local busy = running()
local function fits(p, t, spared)
  -- With nothing running it has to fit, or it never would.
  return kv_budget == 0 or busy == 0 or state('kv') + kv_need(p, t) + (spared or 0) <= kv_budget
end

local function head(person)
  return ticket_of(call('ZRANGE', K .. ':q:' .. person, 0, 0)[1])
end

-- The ticket that the queue drains for or lets be overtaken, if it is still its person's next by right.
local function blocked()
  local mark = call('HMGET', K .. ':st', 'blk', 'blk_at')
  local t = mark[1] and ticket_of(mark[1])
  if t and t.s == 'q' and call('ZSCORE', K .. ':ready', t.person) and head(t.person).turn == t.turn then
    return t, tonumber(mark[2])
  end
  return nil
end

local function choose()
  local waits, since = blocked()
  if waits and now - since >= overtake_us then
    local p = person_of(waits.person)
    if fits(p, waits) then
      return waits, p
    end
    return nil
  end
  for _, id in ipairs(call('ZRANGE', K .. ':ready', 0, look_max - 1)) do
    local t, p = head(id), person_of(id)
    if fits(p, t) then
      return t, p
    elseif not waits then
      waits = t
      call('HSET', K .. ':st', 'blk', t.turn, 'blk_at', exact(now))
    end
  end
  local reserved = reserve()
  if slots - busy > reserved then
    -- A reserved slot is of use only with the KV that whoever comes by right usually needs.
    local input, out_max = state('right_in', 'right_out')
    local spared = reserved * kv_need({ out_n = 0 }, { input = input, out_max = out_max })
    for _, id in ipairs(call('ZRANGE', K .. ':borrow', 0, look_max - 1)) do
      local t, p = head(id), person_of(id)
      if fits(p, t, spared) then
        return t, p
      end
    end
  end
  return nil
end

if busy >= slots then
  return { dropped }
end
local t, p = choose()
if not t then
  return { dropped }
end
local v, last = state('v', 'f')
t.f, t.start = math.max(last + 1, now), now
call('HSET', K .. ':st', 'v', exact(math.max(v, p.v)), 'f', exact(t.f))
if call('HGET', K .. ':st', 'blk') == t.turn then
  call('HDEL', K .. ':st', 'blk', 'blk_at')
end
local by_right = p.r < p.cap
dequeue(t)
lease(t, p)
if by_right then
  local input, out_max = state('right_in', 'right_out')
  local part = input == 0 and 1 or 0.1
  call('HSET', K .. ':st', 'right_in', exact(input + part * (t.input - input)),
    'right_out', exact(out_max + part * (t.out_max - out_max)))
end
return { dropped, t.b, exact(t.f), exact(now + lease_us), exact(t.tries), exact(t.at),
  exact(math.max(0, now - t.at) / 1000000) }
