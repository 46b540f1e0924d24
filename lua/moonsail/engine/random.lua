--- Random numbers that a seed repeats, on every machine (SplitMix64 by Steele, Lea and Flood, 2014).

---@param seed integer
---@return fun(): number next at least 0 and below 1
return function(seed)
  local state = seed
  return function()
    state = state + 0x9E3779B97F4A7C15
    local z = state
    z = (z ~ z >> 30) * 0xBF58476D1CE4E5B9
    z = (z ~ z >> 27) * 0x94D049BB133111EB
    z = z ~ z >> 31
    return (z >> 11) * 2.0 ^ -53
  end
end
