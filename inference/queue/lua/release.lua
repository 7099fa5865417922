-- release: ARGV now, key, person. A place that was submitted is left alone.
if not call('HGET', K .. ':a:' .. ARGV[2], 'turn') then
  call('DEL', K .. ':a:' .. ARGV[2])
end
call('ZREM', K .. ':places', ARGV[2])
call('ZREM', K .. ':pp:' .. ARGV[3], ARGV[2])
return 1
