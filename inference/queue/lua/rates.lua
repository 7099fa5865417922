-- What a person may ask a minute and a day, by GCRA; put behind common.lua where an operation counts against it.
--   fq:limits:<person>  hash  by limit: 'due:per:unit', the theoretical arrival time in µs, µs a unit, and what is
--                             counted: r requests, t tokens
-- A plan's limit is its person's, whichever model answers: this key alone is outside of the group's hash tag. `per` is
-- kept beside `due`, so that a better plan is one at once: what was used is then a smaller part of what may be.
local function limits_of(person)
  return 'fq:limits:' .. person
end

local function rate_unpack(packed)
  local due, per, unit = string.match(packed, '^(.-):(.-):(%a)$')
  return tonumber(due), tonumber(per), unit
end

local function rate_pack(due, per, unit)
  return exact(due) .. ':' .. exact(per) .. ':' .. unit
end

-- Stores {limit, packed, …}, whose last arrival is due at `last`. Kept for longer than it is owed: an answer that is
-- still being written is counted in full at its end.
local function limits_save(person, fields, last)
  call('HSET', limits_of(person), unpack(fields))
  expire(limits_of(person), math.max(last - now, idle_us))
end

-- Counts more requests and tokens, or fewer, against the limits that this person was last admitted by.
local function count_more(person, requests, tokens)
  local found, fields, last = call('HGETALL', limits_of(person)), {}, now
  for i = 1, #found, 2 do
    local due, per, unit = rate_unpack(found[i + 1])
    due = math.max(now, due) + (unit == 't' and tokens or requests) * per
    last = math.max(last, due)
    fields[#fields + 1] = found[i]
    fields[#fields + 1] = rate_pack(due, per, unit)
  end
  if #fields > 0 then
    limits_save(person, fields, last)
  end
end
