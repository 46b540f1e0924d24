local mask = require "moonsail.engine.mask"

local function through(values, ...)
  local m, shown = mask.new(values), {}
  for _, piece in ipairs { ... } do table.insert(shown, (m:feed(piece))) end
  table.insert(shown, m:feed("", true))
  return table.concat(shown)
end

describe("engine.mask", function()
  it("masks a value wherever it stands", function()
    assert.equal("a ••••, ••••!", through({ "secret" }, "a secret, secret!"))
  end)

  it("masks a value that is split over two pieces, at any place", function()
    local text = "token=hunter2 and hunter2"
    for cut = 0, #text do
      assert.equal("token=•••• and ••••", through({ "hunter2" }, text:sub(1, cut), text:sub(cut + 1)))
    end
  end)

  it("masks a value that comes byte by byte", function()
    local bytes = {}
    for byte in ("xhunthunter2y"):gmatch "." do table.insert(bytes, byte) end
    assert.equal("xhunt••••y", through({ "hunter2" }, table.unpack(bytes)))
  end)

  it("masks the longer of two values that begin alike, also when it is split", function()
    assert.equal("••••.", through({ "abc", "abcdef" }, "abcdef."))
    assert.equal("••••.", through({ "abc", "abcdef" }, "abc", "def."))
    assert.equal("••••de.", through({ "abc", "abcdef" }, "abc", "de."))
  end)

  it("masks values that overlap at the edge of a piece", function()
    assert.equal("••••c", through({ "xab", "abc" }, "xab", "c"))
  end)

  it("shows what only looked like the beginning of a value", function()
    assert.equal("hunter", through({ "hunter2" }, "hunter"))
    assert.equal("hunter3", through({ "hunter2" }, "hunter", "3"))
  end)

  it("masks values with newlines and pattern characters", function()
    assert.equal("[••••]", through({ "a%d\n(b)" }, "[a%d\n", "(b)]"))
  end)

  it("holds nothing back when there is nothing to mask", function()
    assert.equal("abc", mask.new({ "" }):feed "abc")
  end)
end)
