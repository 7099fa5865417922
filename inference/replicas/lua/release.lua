-- release: ARGV now, url, lease, verdict (good, failed, away, busy or none), failures_max, min_us and max_us of the
-- pauses, busy_us, forget_ms. Answers 1 where this took the server out of service.
-- What a lapsed lease says is not believed: its holder hung, and the server may have closed on it for that.
local url, verdict, forget_ms = ARGV[2], ARGV[4], ARGV[9]
local held = call('ZREM', K .. ':busy:' .. url, ARGV[3]) == 1
local h = health(url)
if not held or h.out then
  return 0
elseif verdict == 'good' then
  call('DEL', K .. ':health:' .. url)
elseif verdict == 'busy' then
  keep_health(url, forget_ms, 'till', exact(now + tonumber(ARGV[8])))
elseif verdict == 'away' or (verdict == 'failed' and h.fails + 1 >= tonumber(ARGV[5])) then
  take_out(url, h, tonumber(ARGV[6]), tonumber(ARGV[7]), forget_ms)
  return 1
elseif verdict == 'failed' then
  keep_health(url, forget_ms, 'fails', h.fails + 1)
end
return 0
