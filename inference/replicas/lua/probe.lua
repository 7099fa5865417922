-- probe: ARGV now, url, step (begin, good or failed), slots, lock_us, min_us and max_us of the pauses, forget_ms.
-- begin answers 1 for the one worker that is to probe now, and takes a slot for it. The others answer 1 where that
-- changed anything.
local url, step, busy = ARGV[2], ARGV[3], K .. ':busy:' .. ARGV[2]
local h, holder = health(url), 'probe'
if step == 'begin' then
  local due = h.probe and h.till <= now and in_flight(url) < tonumber(ARGV[4])
  if not due or call('ZSCORE', busy, holder) then
    return 0
  end
  return lease(url, holder, tonumber(ARGV[5]))
end
call('ZREM', busy, holder)
if not h.probe then
  return 0
elseif step == 'good' then
  -- Its failures stay: until a request is good, the next one takes it out again, for longer.
  call('HDEL', K .. ':health:' .. url, 'till', 'probe')
else
  take_out(url, h, tonumber(ARGV[6]), tonumber(ARGV[7]), ARGV[8])
end
return 1
