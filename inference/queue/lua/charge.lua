-- charge: ARGV now, person, tokens: what an answer took beyond what was expected of it, negative where it took less.
count_more(ARGV[2], 0, tonumber(ARGV[3]))
return 1
