-- claim: ARGV now. Answers {dropped turn, person, turn, person …} alone, or with the µs behind after which a slot may be
-- lent, or with the claimed ticket: sealed, fence, lease till, tries, at, seconds waited. All numbers as strings.
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

-- The person who has waited longest without being served, if that is too long: every fourth claim is theirs, so that
-- neither a stream of newcomers nor a counter far ahead keeps anybody out, and the rest still goes by the counters.
local function starving()
  local longest = call('ZRANGE', K .. ':hungry', 0, 0, 'WITHSCORES')
  if not longest[1] or now - tonumber(longest[2]) < tonumber(cfg[16]) then
    return nil
  end
  return call('HINCRBY', K .. ':st', 'starved', 1) % 4 == 1 and longest[1] or nil
end

-- What a loan takes of the pace at which a full house frees its slots, in µs: the longer its answer may be, the more.
local function loan(p, t)
  local svc, width = pace()
  local usual, n = state('out_p80', 'out_n')
  local own = p.out_n >= samples_min and math.min(t.out_max, p.out_p80) or t.out_max
  local longer = n >= samples_min and math.max(1, math.min(8, own / usual)) or 1
  return tonumber(cfg[17]) * longer * svc / width * 1000000
end

-- Borrowers fill a house no faster than a full one frees its slots; a slot that was freed may be lent at once, since
-- vacate() takes its loan back. Books a loan by GCRA and answers 0, or answers how many µs it is too early for it.
local function lend(p, t)
  local step, burst = loan(p, t), tonumber(cfg[18])
  local owed = math.max(0, state('lent') - now)
  if owed > burst * step then
    -- The clock was set back, or the pace has grown.
    owed = burst * step
    call('HSET', K .. ':st', 'lent', exact(now + owed))
  end
  local early = owed - (burst - 1) * step
  if early > 1 then
    return early
  end
  call('HSET', K .. ':st', 'lent', exact(now + owed + step))
  return 0
end

-- Answers the ticket, its person, whether the person's counter decided, and without a ticket the µs after which a slot
-- may be lent, if it is only too early for that.
local function choose()
  local waits, since = waiting_for_kv()
  if waits and now - since >= overtake_us then
    local p = person_of(waits.person)
    if fits(p, waits) then
      return waits, p, true
    end
    return nil
  end
  local line, first = call('ZRANGE', K .. ':ready', 0, look_max - 1), starving()
  if first then
    table.insert(line, 1, first)
  end
  for i, id in ipairs(line) do
    local t, p = head(id), person_of(id)
    if fits(p, t) then
      return t, p, not first or i > 1
    elseif not waits then
      waits = t
      call('HSET', K .. ':st', 'blk', t.turn, 'blk_at', exact(now))
    end
  end
  local reserved = reserve()
  if slots - busy > reserved then
    -- A reserved slot is of use only with the KV that whoever comes by right usually needs.
    local input, out_max = state('right_in', 'right_out')
    local spared = reserved * kv_need({ out_n = 0 }, { input = input, out_max = out_max, step = 0 })
    for _, id in ipairs(call('ZRANGE', K .. ':borrow', 0, look_max - 1)) do
      local t, p = head(id), person_of(id)
      if fits(p, t, spared) then
        local early = lend(p, t)
        if early > 0 then
          return nil, nil, nil, early
        end
        return t, p, true
      end
    end
  end
  return nil
end

if busy >= slots then
  return { dropped }
end
local t, p, by_counter, early = choose()
if not t then
  return early and { dropped, exact(math.ceil(early)) } or { dropped }
end
local v, last, dv, dv_n = state('v', 'f', 'dv', 'dv_n')
t.f, t.start = math.max(last + 1, now), now
call('HSET', K .. ':st', 'f', exact(t.f))
if by_counter then
  -- How fast virtual time passes counts only while more are waiting, as the pace of freed slots does.
  if call('ZCARD', K .. ':order') > 1 then
    dv_n = math.min(dv_n + 1, 50)
    dv = dv + (math.max(0, p.v - v) - dv) / dv_n
  end
  call('HSET', K .. ':st', 'v', exact(math.max(v, p.v)), 'dv', exact(dv), 'dv_n', dv_n)
end
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
