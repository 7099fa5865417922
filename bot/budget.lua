-- Reserves one send in several budgets at once, or in none. GCRA: each key holds the theoretical arrival time (TAT)
-- of the next send in microseconds; a send conforms when now >= TAT - (burst - 1) * interval.
--
-- KEYS    the budgets
-- ARGV[1] now in microseconds, 0 for the server's time
-- ARGV[2] 'reserve', or 'penalize' (nothing may pass for ARGV[3] microseconds, whatever the burst)
-- reserve:  ARGV[3 + 3i ..] for the i-th key: interval in microseconds, burst, sends to leave to higher lanes
-- penalize: ARGV[3] microseconds, then for the i-th key: interval, burst
--
-- Answers the wait of each key in microseconds; all of them zero: reserved.

local now = tonumber(ARGV[1])
if now == 0 then
  local time = redis.call('TIME')
  now = tonumber(time[1]) * 1000000 + tonumber(time[2])
end

local function keep(key, tat)
  redis.call('SET', key, string.format('%.0f', tat), 'PX', math.max(1, math.ceil((tat - now) / 1000) + 1000))
end

if ARGV[2] == 'penalize' then
  for i, key in ipairs(KEYS) do
    local interval, burst = tonumber(ARGV[2 + 2 * i]), tonumber(ARGV[3 + 2 * i])
    local tat = now + tonumber(ARGV[3]) + (burst - 1) * interval
    if tat > tonumber(redis.call('GET', key) or '0') then
      keep(key, tat)
    end
  end
  return {}
end

local waits, tats, free = {}, {}, true
for i, key in ipairs(KEYS) do
  local interval, burst, left = tonumber(ARGV[3 * i]), tonumber(ARGV[3 * i + 1]), tonumber(ARGV[3 * i + 2])
  local tat = tonumber(redis.call('GET', key) or '0')
  local wait = math.max(0, tat - (burst - 1 - left) * interval - now)
  waits[i] = math.ceil(wait)
  tats[i] = math.max(tat, now) + interval
  free = free and wait == 0
end
if free then
  for i, key in ipairs(KEYS) do
    keep(key, tats[i])
  end
end
return waits
