--- moonsail version

return function(_, version)
  print("moonsail " .. version)
end
