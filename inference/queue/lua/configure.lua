-- configure: KEYS[1] '{fq:<group>}'; ARGV now, then field and value by turns.
-- `born` dates this state: a fence from before it was handed out by a Redis that is lost. Fences of this state are
-- larger, also if the clock is set back.
local now = tonumber(ARGV[1])
if now == 0 then
  local clock = redis.call('TIME')
  now = clock[1] * 1000000 + clock[2]
end
redis.call('DEL', KEYS[1] .. ':cfg')
redis.call('HSET', KEYS[1] .. ':cfg', unpack(ARGV, 2))
local born = string.format('%.17g', now)
redis.call('HSETNX', KEYS[1] .. ':st', 'born', born)
redis.call('HSETNX', KEYS[1] .. ':st', 'f', born)
return 1
