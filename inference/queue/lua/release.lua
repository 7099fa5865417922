-- release: ARGV now, key, person, requests to give back with the tokens that were counted: 0 or 1. A place that was
-- submitted is left alone.
local admission = call('HMGET', K .. ':a:' .. ARGV[2], 'turn', 'tokens')
if not admission[1] then
  call('DEL', K .. ':a:' .. ARGV[2])
  if admission[2] then
    count_more(ARGV[3], -tonumber(ARGV[4]), -tonumber(admission[2]))
  end
end
call('ZREM', K .. ':places', ARGV[2])
call('ZREM', K .. ':pp:' .. ARGV[3], ARGV[2])
return 1
