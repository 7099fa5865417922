-- servers: KEYS[1] '{replicas}'; ARGV[1] now in µs, 0 for Redis' own clock.
-- <key>:busy:<url>    sorted set: lease -> when it lapses. Its size is what is in flight there, from all workers.
-- <key>:health:<url>  hash: fails (requests in a row), outs (times taken out since a request was good), till (out of
--                     service until then), probe (1: back only by a probe).
-- <key>:home:<dialog> the server that served a dialog last.
local K = KEYS[1]
local call = redis.call
local now = tonumber(ARGV[1])
if now == 0 then
  local clock = call('TIME')
  now = clock[1] * 1000000 + clock[2]
end

local function exact(n)
  return string.format('%.17g', n)
end

-- A server that needs a probe stays out after its time, until the probe has said that it answers.
local function health(url)
  local h = call('HMGET', K .. ':health:' .. url, 'fails', 'outs', 'till', 'probe')
  local till, probe = tonumber(h[3] or 0), h[4] == '1'
  return { fails = tonumber(h[1] or 0), outs = tonumber(h[2] or 0), till = till, probe = probe, out = probe or till > now }
end

local function keep_health(url, forget_ms, ...)
  call('HSET', K .. ':health:' .. url, ...)
  call('PEXPIRE', K .. ':health:' .. url, forget_ms)
end

-- Out for a time that doubles with each time it is taken out.
local function take_out(url, h, min_us, max_us, forget_ms)
  local pause_us = math.min(max_us, min_us * 2 ^ math.min(h.outs, 30))
  keep_health(url, forget_ms, 'fails', h.fails + 1, 'outs', h.outs + 1, 'till', exact(now + pause_us), 'probe', 1)
end

local function in_flight(url)
  local busy = K .. ':busy:' .. url
  call('ZREMRANGEBYSCORE', busy, '-inf', exact(now))
  return call('ZCARD', busy)
end

local function lease(url, id, lease_us)
  local busy = K .. ':busy:' .. url
  local added = call('ZADD', busy, exact(now + lease_us), id)
  call('PEXPIRE', busy, math.ceil(lease_us / 500))
  return added
end
