"""What runs inside Redis: four scripts, each atomic, none with arithmetic on elements.

A shard is a *base*, its elements at some point of time, and a *log*, the pushes since and some from
before. The log's entries have numbers from 1; the hash `state` of a parameter holds for shard K

    hK  number of the newest entry          cK  bytes that came since the base was written
    bK  entry the base stands at            nK  entries that came since then
    fK  the log holds the entries fK+1..hK

and `v`, the parameter's version: how many times it was pushed to or put. A reader that has the
shard as of entry r >= fK needs the entries after r; any other the base and the entries after bK.

Each script reads before it writes, so that a key of a wrong type or a missing one is found while
nothing is changed. The first write of a script that adds something is one that Redis refuses when
its memory is full; after a first write it refuses none, so that a script is never half done.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property

FOLD_ENTRIES = 512
"""A base is written anew when so many entries came since, or as many bytes as the shard has (and
64 KB, for small ones)."""
FOLD_BYTES = 64 * 1024

PULL_BYTES = 4 * 1024 * 1024
"""About how many bytes of entries one reply brings."""

REMEMBERED = 65_536
"""Calls whose pushes are remembered, at least: the latest of them; at most twice as many."""


@dataclass(frozen=True)
class Script:
    """One script."""

    text: str

    @cached_property
    def digest(self) -> bytes:
        """What EVALSHA knows it by."""
        return hashlib.sha1(self.text.encode()).hexdigest().encode()  # noqa: S324 - Redis names them so


# read(first key, first argument, shards just pushed to): what is new in some shards, of which KEYS
# has base and log each, and ARGV the number and the entry the reader has it as of, or -1. For each
#     {entry it goes on from, base or '', entries, how many more there are, '1' or '0'}
# A reader far behind asks again; '1': after all these comes the reader's own, which it has already.
# Returns nil and a shard's number if that is gone.
_READ = """
local call = redis.call
local function read(k, a, pushed)
  local out, room = {}, ROOM
  for i = k, #KEYS, 2 do
    local shard, from = ARGV[a], tonumber(ARGV[a + 1])
    a = a + 2
    local at = call(
      'HMGET', KEYS[2], 'h' .. shard, 'b' .. shard, 'f' .. shard, 'c' .. shard, 'n' .. shard)
    local newest, base, first = (at[1] or 0) + 0, (at[2] or 0) + 0, (at[3] or 0) + 0
    if call('LLEN', KEYS[i + 1]) ~= newest - first then return nil, shard end
    local bytes = ''
    if from < first or from > newest then
      from = base
      bytes = call('GET', KEYS[i])
      if not bytes then return nil, shard end
    end
    local count, size = newest - from, (at[4] or 0) / math.max(1, (at[5] or 0))
    local own = pushed[shard] and count > 0 and 1 or 0
    -- The first entry of a reply has no limit, so that each reply brings something.
    if (count - own) * size > room then
      count, own = math.max(room == ROOM and 1 or 0, math.floor(room / size)), 0
    end
    room = math.max(0, room - count * size)
    local last = from + count
    local entries = {}
    if count > own then
      entries = call('LRANGE', KEYS[i + 1], from - first, last - own - first - 1)
    end
    out[#out + 1] = {from, bytes, entries, newest - last, own}
  end
  return out
end
""".replace("ROOM", str(PULL_BYTES))

# KEYS: catalog, state, seen, seen before, staleness, log of each shard touched, then, of a push
#       that is too large for one command, where each entry was staged, then base and log of each
#       shard to read
# ARGV: name, layout, token, number, remembered, version computed from or '', most staleness or '',
#       '1' if the entries are staged, how many logs, then for each log: shard, entry, bytes that
#       call for a fold, then for each shard to read: shard, entry the reader has it as of or -1
# Says: word, version, shards to fold or staleness, what was read (nothing if that failed)
_PUSH = """
local name, layout, token, number = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local logs, staged = tonumber(ARGV[9]), ARGV[8] == '1'
local function answer(word, version, more, pushed)
  local k, a = 6 + logs * (staged and 2 or 1), 10 + 3 * logs
  local fine, news = true, {}
  if k < #KEYS then fine, news = pcall(read, k, a, pushed) end
  return {word, version, more, fine and news or {}}
end
if call('HGET', KEYS[1], name) ~= layout then return {'changed'} end
local version = tonumber(call('HGET', KEYS[2], 'v') or nil)
if not version then return {'gone'} end
local last = call('HGET', KEYS[3], token) or call('HGET', KEYS[4], token)
if last and tonumber(number) <= tonumber(last) then return answer('again', version, {}, {}) end
local late
if ARGV[6] ~= '' then
  late = math.max(0, version - tonumber(ARGV[6]))
  if ARGV[7] ~= '' and late > tonumber(ARGV[7]) then
    return answer('stale', version, {late}, {})
  end
end
call('HLEN', KEYS[5])
local state = {}
for i = 1, logs do
  local shard = ARGV[3 * i + 7]
  local at = call('HMGET', KEYS[2], 'h' .. shard, 'f' .. shard, 'c' .. shard, 'n' .. shard)
  if call('LLEN', KEYS[i + 5]) ~= (at[1] or 0) - (at[2] or 0) then return {'gone', shard} end
  if staged and call('EXISTS', KEYS[i + 5 + logs]) == 0 then return {'unstaged'} end
  state[i] = at
end
if call('HSET', KEYS[3], token, number) == 1 and call('HLEN', KEYS[3]) >= tonumber(ARGV[5]) then
  call('UNLINK', KEYS[4])
  call('RENAME', KEYS[3], KEYS[4])
end
local folds, pushed = {}, {}
for i = 1, logs do
  local shard, entry, full = ARGV[3 * i + 7], ARGV[3 * i + 8], tonumber(ARGV[3 * i + 9])
  if staged then
    entry = call('GET', KEYS[i + 5 + logs])
    call('UNLINK', KEYS[i + 5 + logs])
  else
    pushed[shard] = true
  end
  call('RPUSH', KEYS[i + 5], entry)
  local at = state[i]
  local bytes, count = (at[3] or 0) + #entry, (at[4] or 0) + 1
  call('HSET', KEYS[2], 'h' .. shard, (at[1] or 0) + 1, 'c' .. shard, bytes, 'n' .. shard, count)
  -- Told to the push that crosses the mark; should its sender die, to the one at the next.
  if math.floor(bytes / full) > math.floor((bytes - #entry) / full) or count % ENTRIES == 0 then
    folds[#folds + 1] = tonumber(shard)
  end
end
version = call('HINCRBY', KEYS[2], 'v', 1)
if late then
  if late >= 1024 then late = 2 ^ math.floor(math.log(late) / math.log(2) + 1e-9) end
  call('HINCRBY', KEYS[5], late, 1)
end
return answer('ok', version, folds, pushed)
""".replace("ENTRIES", str(FOLD_ENTRIES))

# KEYS: catalog, state, then base and log of each shard
# ARGV: name, layout, then for each shard: shard, entry the reader has it as of or -1
# Says: word, version, what was read
_PULL = """
if call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then return {'changed'} end
local version = tonumber(call('HGET', KEYS[2], 'v') or nil)
if not version then return {'gone'} end
local news, shard = read(3, 3, {})
if not news then return {'gone', shard} end
return {'ok', version, news}
"""

# KEYS: catalog, state, base, log    ARGV: name, layout, shard, entry the bytes stand at, bytes
# The entries since the former base stay, for readers that are not so far yet.
_FOLD = """
local call = redis.call
if call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then return {'changed'} end
local shard, upto = ARGV[3], tonumber(ARGV[4])
local at = call('HMGET', KEYS[2], 'h' .. shard, 'b' .. shard, 'f' .. shard)
local newest, base, first = (at[1] or 0) + 0, (at[2] or 0) + 0, (at[3] or 0) + 0
if upto <= base or upto > newest then return {'late'} end
if call('LLEN', KEYS[4]) ~= newest - first then return {'gone', shard} end
-- Trimmed first, which Redis never refuses: with its memory full, folding still frees some.
call('LTRIM', KEYS[4], base - first, -1)
call('SET', KEYS[3], ARGV[5])
call('HSET', KEYS[2], 'b' .. shard, upto, 'f' .. shard, base, 'c' .. shard, 0, 'n' .. shard, 0)
return {'ok'}
"""

# KEYS: catalog, seen, seen before, staged seen, then for each change: staleness, old state (or the
#       catalog), new state (or the catalog), staged bases, keys to drop
# ARGV: token, number, remembered, '1' to put the staged seen in force, how many parameters there
#       are if all of them are in the changes or -1, then for each change: name, old layout or '',
#       new layout or '', least version, how many staged bases, how many to drop
_COMMIT = """
local call = redis.call
local token, number = ARGV[1], ARGV[2]
local last = call('HGET', KEYS[2], token) or call('HGET', KEYS[3], token)
if last and tonumber(number) <= tonumber(last) then return {'again'} end
if ARGV[4] == '1' and call('HLEN', KEYS[4]) == 0 then return {'gone'} end
local there = tonumber(ARGV[5])
if there >= 0 and call('HLEN', KEYS[1]) ~= there then return {'changed'} end
local versions = {}
local k = 5
for a = 6, #ARGV, 6 do
  local name, old, staged, drop = ARGV[a], ARGV[a + 1], tonumber(ARGV[a + 4]), tonumber(ARGV[a + 5])
  if (call('HGET', KEYS[1], name) or '') ~= old then return {'changed'} end
  call('HLEN', KEYS[k])
  local version = 0
  if old ~= '' then version = tonumber(call('HGET', KEYS[k + 1], 'v') or 0) end
  versions[a] = math.max(version, tonumber(ARGV[a + 3])) + 1
  for i = k + 3, k + 2 + staged do
    if call('EXISTS', KEYS[i]) == 0 then return {'gone'} end
  end
  k = k + 3 + staged + drop
end
-- Removals come first, which Redis never refuses: with its memory full, they free some.
for a = 6, #ARGV, 6 do
  if ARGV[a + 2] == '' then call('HDEL', KEYS[1], ARGV[a]) end
end
if ARGV[4] == '1' then
  call('HSET', KEYS[4], token, number)
  call('PERSIST', KEYS[4])
  call('UNLINK', KEYS[3])
  call('RENAME', KEYS[4], KEYS[2])
else
  call('HSET', KEYS[2], token, number)
  if call('HLEN', KEYS[2]) >= tonumber(ARGV[3]) then
    call('UNLINK', KEYS[3])
    call('RENAME', KEYS[2], KEYS[3])
  end
end
local out = {'ok'}
k = 5
for a = 6, #ARGV, 6 do
  local name, new, staged, drop = ARGV[a], ARGV[a + 2], tonumber(ARGV[a + 4]), tonumber(ARGV[a + 5])
  call('UNLINK', KEYS[k])
  if new == '' then
    out[#out + 1] = 0
  else
    call('HSET', KEYS[1], name, new)
    call('HSET', KEYS[k + 2], 'v', versions[a])
    for i = k + 3, k + 2 + staged do call('PERSIST', KEYS[i]) end
    out[#out + 1] = versions[a]
  end
  for i = k + 3 + staged, k + 2 + staged + drop do call('UNLINK', KEYS[i]) end
  k = k + 3 + staged + drop
end
-- What is remembered of calls outlives the last parameter by a day.
local empty = call('HLEN', KEYS[1]) == 0
for i = 2, 3 do
  if empty then call('EXPIRE', KEYS[i], 86400) else call('PERSIST', KEYS[i]) end
end
return out
"""

PUSH = Script(_READ + _PUSH)
PULL = Script(_READ + _PULL)
FOLD = Script(_FOLD)
COMMIT = Script(_COMMIT)
SCRIPTS = (PUSH, PULL, FOLD, COMMIT)
