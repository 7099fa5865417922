-- take: ARGV now, lease, lease_us, home, home_ms, then url, slots, weight and avoid (0 or 1) of each server, the
-- likeliest home of a new dialog first. Answers {url}, or {'', 'full'} or {'', 'out'}.
local id, lease_us, home_key = ARGV[2], tonumber(ARGV[3]), K .. ':home:' .. ARGV[4]
local home = ARGV[4] ~= '' and call('GET', home_key) or ''
local full, chosen = false, nil

local function choose(avoided)
  local best, least = nil, nil
  for i = 6, #ARGV, 4 do
    local url, slots = ARGV[i], tonumber(ARGV[i + 1])
    if ARGV[i + 3] == avoided and not health(url).out then
      local busy = in_flight(url)
      if busy >= slots then
        full = true
      elseif url == home then
        return url
      else
        local load = busy / (slots * tonumber(ARGV[i + 2]))
        if not least or load < least then
          best, least = url, load
        end
      end
    end
  end
  return best
end

chosen = choose('0') or choose('1')
if not chosen then
  return { '', full and 'full' or 'out' }
end
lease(chosen, id, lease_us)
if ARGV[4] ~= '' then
  call('SET', home_key, chosen, 'PX', ARGV[5])
end
return { chosen }
