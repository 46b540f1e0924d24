--- moonsail eval 'LUA': runs a few words of Lua and prints what they return.

return function(arguments)
  local chunk = assert(load(arguments[1], "=eval", "t"))
  local results = table.pack(chunk())
  for i = 1, results.n do
    results[i] = tostring(results[i])
  end
  if results.n > 0 then
    print(table.concat(results, "\t"))
  end
end
