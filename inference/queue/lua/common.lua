-- What every operation stands on; put in front of each of them. Redis 6.2 semantics, effects replication.
--
-- KEYS[1] = K = '{fq:<group>}'; ARGV[1] = now in µs, 0 = the server's clock. All keys share K's hash tag:
--   K:cfg          hash   configuration, see configure.lua
--   K:st           hash   born, v (virtual time), f (last fence), seq, kv (used), w (weights of waiting persons),
--                         light, light_at (arrivals), svc (service time), gap, gap_n, freed_at (spacing of freed slots),
--                         chg (charge of an answer), dv, dv_n (what a claim adds to v), starved (claims while somebody
--                         was), out_p80, out_n, in_p80, in_n (what prompts take of their bound, per mille), right_in,
--                         right_out (bounds of what is claimed by right), blk, blk_at (the ticket that does not fit,
--                         since when), lent (when the slots lent so far would all be back, see claim.lua)
--   K:ready        zset   waiting persons below their base cap, by counter
--   K:borrow       zset   waiting persons at or above it, but below their hard cap, by counter
--   K:hungry       zset   those in K:ready, by when they were served last or began to wait
--   K:order, K:due zset   waiting tickets by time of submit, by deadline
--   K:leases       zset   running tickets by end of lease; its size is the number of slots taken
--   K:places       zset   kept places by expiry
--   K:p:<person>   hash   v, w, cap, hard, r (running), wq (weight counted in st.w), out_p80, out_n, seen,
--                         since (waits unserved since then; 0: nothing waits)
--   K:q:<person>   zset   the person's waiting tickets by sequence number
--   K:pp:<person>  zset   the person's kept places by expiry
--   K:a:<key>      hash   an admission: till, turn, tokens (counted against the person's limits, see rates.lua)
--   K:t:<turn>     hash   s (q waiting, r running, d done, x gone), b (the ticket, sealed), seq, at, tries, f (fence),
--                         stop, kv, ch (charged so far, unweighted), out, start; a tombstone (d, x) has s, f, till
local K = KEYS[1]
local call = redis.call
local now = tonumber(ARGV[1])
if now == 0 then
  local clock = call('TIME')
  now = clock[1] * 1000000 + clock[2]
end

local cfg = call('HMGET', K .. ':cfg', 'slots', 'kv_budget', 'cached_factor', 'queued_max', 'lease_us', 'place_us',
  'tries_max', 'overtake_us', 'reserve_min', 'reserve_max', 'reserve_wait_s', 'smoothing_s', 'lag_max', 'idle_us',
  'service_s', 'starve_us', 'lend_spread', 'lend_burst')
if not cfg[18] then
  return redis.error_reply('NOCONFIG this queue is not configured')
end
local slots, kv_budget, cached_factor = tonumber(cfg[1]), tonumber(cfg[2]), tonumber(cfg[3])
local lease_us, overtake_us, idle_us = tonumber(cfg[5]), tonumber(cfg[8]), tonumber(cfg[14])
-- Long enough for a holder that was cut off to come back and learn that it lost.
local tomb_us = math.max(4 * lease_us, 60000000)
-- Persons looked at in each set for a ticket that fits; expired things handled by one call; samples before an
-- estimate is believed.
local look_max, batch_max, samples_min = 8, 16, 5

local function exact(x)
  return string.format('%.17g', x)
end

local function expire(key, us)
  call('PEXPIRE', key, string.format('%.0f', math.ceil(us / 1000)))
end

-- State fields as numbers, 0 where missing.
local function state(...)
  local values = call('HMGET', K .. ':st', ...)
  for i = 1, #values do
    values[i] = tonumber(values[i] or 0)
  end
  return unpack(values)
end

-- A sealed ticket 'turn:person:weight:cap:hard:input:cached:output_max:due:step', a claim's with ':at:tries' behind.
local function unseal(sealed)
  local n, list = 0, {}
  for word in string.gmatch(sealed, '[^:]+') do
    n = n + 1
    list[n] = word
  end
  return {
    turn = list[1], person = list[2], w = tonumber(list[3]), cap = tonumber(list[4]), hard = tonumber(list[5]),
    input = tonumber(list[6]), cached = tonumber(list[7]), out_max = tonumber(list[8]), due = tonumber(list[9]),
    step = tonumber(list[10]), at = tonumber(list[11] or 0), tries = tonumber(list[12] or 0),
    b = table.concat(list, ':', 1, 10),
  }
end

-- The ticket's hash joined with what is sealed in it; nil if there is none, or an expired tombstone.
local function ticket_of(turn)
  local f = call('HMGET', K .. ':t:' .. turn, 's', 'b', 'seq', 'at', 'tries', 'f', 'stop', 'kv', 'ch', 'out', 'start',
    'till')
  if not f[1] then
    return nil
  end
  if f[12] then
    if tonumber(f[12]) <= now then
      return nil
    end
    return { turn = turn, s = f[1], f = tonumber(f[6]) }
  end
  local t = unseal(f[2])
  t.s, t.seq, t.at, t.tries, t.f = f[1], tonumber(f[3]), tonumber(f[4]), tonumber(f[5]), tonumber(f[6])
  t.stop, t.kv, t.ch, t.out, t.start = f[7] == '1', tonumber(f[8]), tonumber(f[9]), tonumber(f[10]), tonumber(f[11])
  return t
end

local function ticket_save(t)
  local key = K .. ':t:' .. t.turn
  call('HSET', key, 's', t.s, 'b', t.b, 'seq', exact(t.seq), 'at', exact(t.at), 'tries', t.tries, 'f', exact(t.f),
    'stop', t.stop and '1' or '0', 'kv', exact(t.kv), 'ch', exact(t.ch), 'out', exact(t.out), 'start', exact(t.start))
  call('HDEL', key, 'till')
  call('PERSIST', key)
end

local function bury(t, s)
  local key = K .. ':t:' .. t.turn
  call('DEL', key)
  call('HSET', key, 's', s, 'f', exact(t.f), 'till', exact(now + tomb_us))
  expire(key, tomb_us)
end

local function person_of(id)
  local f = call('HMGET', K .. ':p:' .. id, 'v', 'w', 'cap', 'hard', 'r', 'wq', 'out_p80', 'out_n', 'seen',
    'since')
  local p = {
    id = id, v = tonumber(f[1] or 0), w = tonumber(f[2] or 1), cap = tonumber(f[3] or 1), hard = tonumber(f[4] or 0),
    r = tonumber(f[5] or 0), wq = tonumber(f[6] or 0), out_p80 = tonumber(f[7] or 0), out_n = tonumber(f[8] or 0),
    since = tonumber(f[10] or 0),
  }
  p.q = call('ZCARD', K .. ':q:' .. id)
  if p.q == 0 and p.r == 0 and f[9] and now - tonumber(f[9]) > idle_us then
    p.v, p.out_p80, p.out_n = 0, 0, 0
  end
  return p
end

-- Writes a person back and puts them into the set where they belong now.
local function person_save(p)
  local key = K .. ':p:' .. p.id
  p.q = call('ZCARD', K .. ':q:' .. p.id)
  if p.q > 0 then
    -- Whom a cap kept from the service that others borrowed has no claim on it later.
    p.v = math.max(p.v, state('v') - tonumber(cfg[13]) / p.w)
  end
  local set, other = nil, nil
  if p.q > 0 and p.r < p.cap then
    set, other = ':ready', ':borrow'
  elseif p.q > 0 and (p.hard == 0 or p.r < p.hard) then
    set, other = ':borrow', ':ready'
  end
  if set then
    call('ZADD', K .. set, exact(p.v), p.id)
    call('ZREM', K .. other, p.id)
  else
    call('ZREM', K .. ':ready', p.id)
    call('ZREM', K .. ':borrow', p.id)
  end
  p.since = p.q == 0 and 0 or p.since > 0 and p.since or now
  if set == ':ready' then
    call('ZADD', K .. ':hungry', exact(p.since), p.id)
  else
    call('ZREM', K .. ':hungry', p.id)
  end
  local wq = p.q > 0 and p.w or 0
  if wq ~= p.wq then
    call('HINCRBY', K .. ':st', 'w', wq - p.wq)
    p.wq = wq
  end
  call('HSET', key, 'v', exact(p.v), 'w', p.w, 'cap', p.cap, 'hard', p.hard, 'r', p.r, 'wq', wq,
    'out_p80', exact(p.out_p80), 'out_n', p.out_n, 'seen', exact(now), 'since', exact(p.since))
  if p.q + p.r > 0 then
    call('PERSIST', key)
  else
    expire(key, idle_us)
  end
end

-- What is left of a rate that was noted at `since`; all of it where the clock was set back.
local function fading(since, tau_s)
  return math.exp(math.min(0, since - now) / 1000000 / tau_s)
end

local function cost(input, cached, output)
  return (input - cached) + cached_factor * cached + 2 * output
end

-- What a prompt will take. Before it is built only a bound is known, in bytes, several times too high; what prompts of
-- this group lately took of their bounds tells how much. A further step's prompt is known.
local function expected_input(t)
  local part, n = state('in_p80', 'in_n')
  if n < samples_min or t.step > 0 then
    return t.input
  end
  return math.min(t.input, math.ceil(t.input * part / 1000))
end

-- KV tokens to reserve: the input and what this person, or else the model, usually answers at most.
local function kv_need(p, t)
  local p80, n = state('out_p80', 'out_n')
  if p.out_n >= samples_min then
    p80, n = p.out_p80, p.out_n
  end
  local input = expected_input(t)
  if n < samples_min then
    return input + t.out_max
  end
  return input + math.min(t.out_max, math.floor(p80 + 0.5))
end

local function running()
  return call('ZCARD', K .. ':leases')
end

-- How long a slot is taken, in seconds, and how many are taken at once in a full house: where KV binds before slots do,
-- there are fewer of them.
local function pace()
  local svc, kv = state('svc', 'kv')
  local width = slots
  if kv_budget > 0 and kv > 0 then
    width = math.max(1, math.min(slots, kv_budget * running() / kv))
  end
  return svc > 0 and svc or tonumber(cfg[15]), width
end

-- R: the least reserve that keeps 95 % of the light arrivals from waiting longer than reserve_wait_s. Free slots in
-- the reserve are a birth-death process: light arrivals take them, finished requests return them, and with
-- rho = light load ÷ slots, P(wait > t) is about rho^R · e^(-(1 - rho) · t ÷ spacing of finishes).
local function reserve()
  local low, high = tonumber(cfg[9]), math.min(tonumber(cfg[10]), slots - 1)
  if low >= high then
    return math.max(0, math.min(low, slots - 1))
  end
  local light, light_at = state('light', 'light_at')
  local svc, width = pace()
  local rho = math.min(0.95, light * fading(light_at, tonumber(cfg[12])) * svc / width)
  if rho < 0.01 then
    return low
  end
  local need = math.ceil((math.log(0.05) + (1 - rho) * tonumber(cfg[11]) * width / svc) / math.log(rho))
  return math.max(low, math.min(high, need))
end

-- How many claims are worth trying now.
local function wakeups()
  local free = slots - running()
  if free > 0 and call('ZCARD', K .. ':ready') == 0 then
    free = free - reserve()
  end
  return math.max(0, math.min(free, call('ZCARD', K .. ':order')))
end

local function enqueue(t)
  t.s = 'q'
  call('ZADD', K .. ':q:' .. t.person, exact(t.seq), t.turn)
  call('ZADD', K .. ':order', exact(t.at), t.turn)
  if t.due > 0 then
    call('ZADD', K .. ':due', exact(t.due), t.turn)
  end
  ticket_save(t)
end

local function head(person)
  return ticket_of(call('ZRANGE', K .. ':q:' .. person, 0, 0)[1])
end

-- The ticket that the queue drains for or lets be overtaken, if it is still its person's next by right; since when.
local function waiting_for_kv()
  local mark = call('HMGET', K .. ':st', 'blk', 'blk_at')
  local t = mark[1] and ticket_of(mark[1])
  if t and t.s == 'q' and call('ZSCORE', K .. ':ready', t.person) and head(t.person).turn == t.turn then
    return t, tonumber(mark[2])
  end
  return nil
end

local function dequeue(t)
  call('ZREM', K .. ':q:' .. t.person, t.turn)
  call('ZREM', K .. ':order', t.turn)
  call('ZREM', K .. ':due', t.turn)
end

-- A running ticket gives its slot and KV back. The slot may be lent at once.
local function vacate(t, p)
  local lent = state('lent')
  if lent > now then
    local svc, width = pace()
    call('HSET', K .. ':st', 'lent', exact(lent - tonumber(cfg[17]) * svc / width * 1000000))
  end
  call('ZREM', K .. ':leases', t.turn)
  call('HINCRBY', K .. ':st', 'kv', exact(0 - t.kv))
  p.r = p.r - 1
  t.kv = 0
end

-- An attempt that came to nothing is not charged; the ticket goes to the head of its person's.
local function put_back(t, p)
  vacate(t, p)
  p.v = math.max(0, p.v - t.ch / t.w)
  t.ch, t.out = 0, 0
  enqueue(t)
  person_save(p)
end

local function lease(t, p)
  t.s = 'r'
  p.r, p.since = p.r + 1, 0
  t.kv = kv_need(p, t)
  local input = expected_input(t)
  t.ch, t.out = cost(input, math.min(t.cached, input), 0), 0
  p.v = p.v + t.ch / t.w
  call('HINCRBY', K .. ':st', 'kv', exact(t.kv))
  call('ZADD', K .. ':leases', exact(now + lease_us), t.turn)
  ticket_save(t)
  person_save(p)
end

-- The ticket that (turn, fence) holds, or nil. A holder whose lease this Redis has lost gets it again, with its slot
-- and KV, if nobody here was given a later fence for the turn and the fence is from before this state was born, or
-- ahead of all it remembers (Redis came back with an older copy). The first is believed only as long as tombstones
-- live, so that a turn that ended here meanwhile is not taken up once more.
local function held(turn, fence, sealed)
  local t = ticket_of(turn)
  if t and t.s == 'r' and t.f == fence then
    return t
  end
  local born, last = state('born', 'f')
  if t and (t.s == 'd' or t.s == 'x' or t.f >= fence) then
    return nil
  end
  if fence < born and now > born + tomb_us or fence >= born and fence <= last then
    return nil
  end
  local old = t
  t = unseal(sealed)
  local p = person_of(t.person)
  t.seq, t.stop, t.start, t.f = 0, false, 0, fence
  if old and old.s == 'r' then
    vacate(old, p)
    p.v = math.max(0, p.v - old.ch / old.w)
    t.stop = old.stop
  elseif old and old.s == 'q' then
    dequeue(old)
  end
  if p.q == 0 and p.r == 0 then
    p.v = math.max(p.v, state('v'))
  end
  p.w, p.cap, p.hard = t.w, t.cap, t.hard
  call('HSET', K .. ':st', 'f', exact(math.max(last, fence)))
  lease(t, p)
  return t
end
