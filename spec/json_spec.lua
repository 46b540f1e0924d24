local json = require "host.json"

--- The message of a text that is refused.
local function refusal(text, options)
  local value, message, code = json.decode(text, options)
  assert.is_nil(value)
  assert.equal("json", code)
  return message
end

--- The message of a value that cannot be written, without the place in this file.
local function complaint(value, options)
  local ok, message = pcall(json.encode, value, options)
  assert.is_false(ok)
  return (message:gsub("^[^ ]+_spec%.lua:%d+: ", ""))
end

local function same_bytes(text)
  assert.equal(text, json.encode(assert(json.decode(text))))
end

describe("host.json", function()
  describe(".decode", function()
    it("keeps integers integers and floats floats", function()
      for text, kind in pairs {
        ["3"] = "integer", ["-3"] = "integer", ["0"] = "integer", ["-0"] = "integer", ["123456789012345"] = "integer",
        ["3.0"] = "float", ["-0.0"] = "float", ["1e3"] = "float", ["1E+2"] = "float", ["10e-1"] = "float",
        ["0.5"] = "float", ["0.50"] = "float", ["5e-324"] = "float", ["1234567890123456.5"] = "float",
        ["123456789012345.00001"] = "float", -- which rounds to a whole number
        ["100000000000000000000.0"] = "float",
      } do
        local value = assert(json.decode(text))
        assert.equal(kind, math.type(value), text)
        assert.equal(tonumber(text), value, text)
      end
    end)

    it("keeps every integer of 64 bits exact", function()
      for _, text in ipairs {
        "9007199254740991", "9007199254740993", "-9007199254740993", "999999999999999", "1000000000000001",
        "9223372036854775807", "-9223372036854775808",
      } do
        assert.equal(math.tointeger(text), json.decode(text))
        same_bytes("[" .. text .. "]")
      end
    end)

    it("refuses an integer beyond 64 bits, with its path, and rounds none", function()
      assert.equal("a.b[2]: integer beyond 64 bits at byte 14", refusal '{"a":{"b":[1,18446744073709551616]}}')
      assert.equal("integer beyond 64 bits at byte 1", refusal "9223372036854775808")
      assert.equal("integer beyond 64 bits at byte 1", refusal "-9223372036854775809")
      assert.equal("integer beyond 64 bits at byte 1", refusal(("9"):rep(400)))
    end)

    it("refuses a float that no double can hold", function()
      assert.equal("[1]: number out of range at byte 2", refusal "[1e999]")
      assert.equal("number out of range at byte 1", refusal "-1.5e309")
      assert.equal(0.0, json.decode "1e-999")
    end)

    it("tells an empty list from an empty object, at any place", function()
      for _, text in ipairs {
        "[]", "{}", "[[]]", "[{}]", '{"a":[],"b":{}}', "[[],{},[[]],[{}]]", "[1,[],2]",
      } do
        same_bytes(text)
      end
      assert.equal("[]", json.encode(json.decode " [ \n ] "))
      assert.is_true(json.is_list(json.decode "[]"))
      assert.is_false(json.is_list(json.decode "{}"))
    end)

    it("marks every list, so that one that loses its items stays a list", function()
      local list = json.decode "[1]"
      list[1] = nil
      assert.equal("[]", json.encode(list))
    end)

    it("has null as a value everywhere", function()
      assert.equal(json.null, json.decode "null")
      local list = json.decode "[null,1,null]"
      assert.same({ json.null, 1, json.null }, list)
      assert.equal(json.null, json.decode('{"a":null}').a)
      same_bytes '[null,{"a":null}]'
      assert.equal("null", tostring(json.null))
    end)

    it("keeps names that look like numbers names", function()
      local object = json.decode '{"1":"a","2":"b","1.0":"c"}'
      assert.same({ ["1"] = "a", ["2"] = "b", ["1.0"] = "c" }, object)
      same_bytes '{"1":"a","1.0":"c","2":"b"}'
    end)

    it("reads every escape, and a zero byte", function()
      assert.equal('"\\/\b\f\n\r\t', json.decode [["\"\\\/\b\f\n\r\t"]])
      assert.equal("a\0b", json.decode [["a\u0000b"]])
      assert.equal("\u{20AC}\u{1F600}\u{FFFF}", json.decode [["\u20ac\uD83D\uDE00\uffff"]])
      assert.same({ ["\0"] = 1 }, json.decode [[{"\u0000":1}]])
    end)

    it("refuses bad UTF-8, and says where", function()
      assert.equal("actions[2].name: bad UTF-8 at byte 37", refusal '{"actions":[{"name":"x"},{"name":"ab\xFFc"}]}')
      for _, bad in ipairs {
        "\x80", "\xBF", "\xC0\x80", "\xC1\xBF", "\xC3", "\xC3(", "\xE0\x9F\xBF", "\xE2\x82", "\xED\xA0\x80",
        "\xED\xBF\xBF", "\xF0\x8F\xBF\xBF", "\xF0\x9F\x98", "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\xFE", "\xFF",
      } do
        assert.equal("bad UTF-8 at byte 3", refusal('"a' .. bad .. '"'))
        assert.equal("[1]: bad UTF-8 at byte 3", refusal('["' .. bad .. '"]'))
        assert.equal("bad UTF-8 at byte 3", refusal('{"' .. bad .. '":1}'))
      end
      for _, good in ipairs { "\u{7F}", "\u{80}", "\u{7FF}", "\u{800}", "\u{D7FF}", "\u{E000}", "\u{10FFFF}" } do
        assert.equal(good, json.decode('"' .. good .. '"'))
      end
    end)

    it("refuses half of a surrogate pair", function()
      for _, half in ipairs {
        [[\ud800]], [[\udbff]], [[\udc00]], [[\udfff]], [[\ud800x]], [[\ud800\n]], [[\ud800\u0041]], [[\ud83d\ud83d]],
        [[\udc00\udc00]],
      } do
        assert.equal("a: half of a surrogate pair at byte 7", refusal('{"a":"' .. half .. '"}'))
      end
      assert.equal("expected four hexadecimal digits at byte 6", refusal [["\u12G4"]])
      assert.equal("bad escape at byte 3", refusal [["\x41"]])
    end)

    it("refuses control characters in strings", function()
      assert.equal("[1]: control character in a string at byte 4", refusal '["a\n"]')
      assert.equal("control character in a string at byte 2", refusal '"\0"')
    end)

    it("refuses what is not JSON, and names the place", function()
      for text, message in pairs {
        [""] = "the text ends too early at byte 1",
        ["  "] = "the text ends too early at byte 3",
        ["nul"] = "the text ends too early at byte 4",
        ["nulL"] = "expected a value at byte 4",
        ["NaN"] = "expected a value at byte 1",
        ["Infinity"] = "expected a value at byte 1",
        ["-"] = "the text ends too early at byte 2",
        ["-x"] = "expected a digit at byte 2",
        ["+1"] = "expected a value at byte 1",
        [".5"] = "expected a value at byte 1",
        ["1."] = "the text ends too early at byte 3",
        ["1.x"] = "expected a digit at byte 3",
        ["1e+"] = "the text ends too early at byte 4",
        ["01"] = "more text behind the value at byte 2",
        ["0x10"] = "more text behind the value at byte 2",
        ["1 2"] = "more text behind the value at byte 3",
        ["{}{}"] = "more text behind the value at byte 3",
        ["1\0"] = "more text behind the value at byte 2",
        ["\0"] = "expected a value at byte 1",
        ["[1\0]"] = "[1]: expected ',' or ']' at byte 3",
        ["'a'"] = "expected a value at byte 1",
        ["// x"] = "expected a value at byte 1",
        ["\xEF\xBB\xBF{}"] = "expected a value at byte 1",
        ["<html>"] = "expected a value at byte 1",
        ["[1,]"] = "[2]: expected a value at byte 4",
        ["[,1]"] = "[1]: expected a value at byte 2",
        ["[1 2]"] = "[1]: expected ',' or ']' at byte 4",
        ["[1}"] = "[1]: expected ',' or ']' at byte 3",
        ["[[1],[2,x]]"] = "[2][2]: expected a value at byte 9",
        ['{"a":1,}'] = "expected a key in quotes at byte 8",
        ["{a:1}"] = "expected a key in quotes at byte 2",
        ["{1:1}"] = "expected a key in quotes at byte 2",
        ['{"a" 1}'] = "a: expected ':' at byte 6",
        ['{"a":}'] = "a: expected a value at byte 6",
        ['{"a":1]'] = "a: expected ',' or '}' at byte 7",
        ['{"a":{"b":[{"c":x}]}}'] = "a.b[1].c: expected a value at byte 17",
        ['{"x y":[x]}'] = '["x y"][1]: expected a value at byte 9',
        ['{"a":1 "b"}'] = "a: expected ',' or '}' at byte 8",
        ['"a'] = "the text ends too early at byte 3",
        ['"\\'] = "the text ends too early at byte 3",
        ['"\\u12'] = "the text ends too early at byte 6",
      } do
        assert.equal(message, refusal(text), text)
      end
    end)

    it("refuses two members of one name, however they are written", function()
      assert.equal("a.b: duplicate key at byte 13", refusal '{"a":{"b":1,"b":2}}')
      assert.equal([=[[2]["\\u0062"]: duplicate key at byte 17]=], refusal [=[[{"b":1},{"b":1,"\u0062":2}]]=])
      assert.equal("a: duplicate key at byte 20", refusal '{"a":{"x":1,"y":2},"a":[]}')
      assert.equal("a: duplicate key at byte 11", refusal '{"a":null,"a":null}')
      assert.same({ { a = 1 }, { a = 1 } }, json.decode '[{"a":1},{"a":1}]')
      assert.same({ a = { a = { a = 1 } } }, json.decode '{"a":{"a":{"a":1}}}')
    end)

    it("refuses a nesting of 100,000 with a short path", function()
      for _, opening in ipairs { "[", '{"a":', '[{"a":' } do
        local message = refusal(opening:rep(100000))
        assert.matches("nested deeper than 128 at byte %d+$", message)
        assert.is_true(#message < 120, message)
      end
      local path = "[1][1][1][1][1][1]\u{2026}[1][1][1]"
      assert.equal(path .. ": nested deeper than 128 at byte 129", refusal(("["):rep(100000)))
    end)

    it("takes the depth that it is given", function()
      local text = ("["):rep(128) .. ("]"):rep(128)
      assert.is_table(json.decode(text))
      assert.equal(text, json.encode(json.decode(text)))
      assert.matches("deeper than 128", refusal("[" .. text .. "]"))
      assert.matches("^%[1%]: nested deeper than 1 at byte 2", refusal("[[]]", { max_depth = 1 }))
      assert.is_table(json.decode("[]", { max_depth = 1 }))
      assert.is_table(json.decode(("["):rep(1000) .. ("]"):rep(1000), { max_depth = 1000 }))
      assert.has_error(function() json.decode("1", { max_depth = 1001 }) end,
        "max_depth must be an integer from 1 to 1000")
    end)

    it("shortens long and unprintable names in a path", function()
      local message = refusal('{"' .. ("\u{E9}"):rep(500) .. '":x}')
      assert.equal('["' .. ("\u{E9}"):rep(20) .. '\u{2026}"]: expected a value at byte 1005', message)
    end)

    it("refuses a text that was cut off, wherever it was cut", function()
      local text = [[{"id":3,"tags":[],"big":9007199254740993,"f":-1.5e2,]]
        .. [["s":"\u00e9\ud83d\ude00€","o":{"n":null,"t":[true]}}]]
      assert.is_table(json.decode(text))
      for i = 0, #text - 1 do
        local message = refusal(text:sub(1, i))
        assert.is_true(message:find("ends too early", 1, true) ~= nil or message:find("bad UTF-8", 1, true) ~= nil
          or message:find("surrogate", 1, true) ~= nil, message)
      end
    end)

    it("survives a text with any one byte changed", function()
      local text = [[{"id":3,"tags":[],"big":9007199254740993,"f":-1.5e2,"s":"\u00e9","o":{"n":null,"t":[true]}}]]
      for i = 1, #text do
        for byte = 0, 255, 3 do
          local value, message = json.decode(text:sub(1, i - 1) .. string.char(byte) .. text:sub(i + 1))
          if value == nil then
            assert.is_string(message)
          else
            assert.is_string(json.encode(value))
          end
        end
      end
    end)

    it("reads a long text with many marked values", function()
      local texts, values = {}, {}
      for i = 1, 20000 do
        texts[i] = i % 3 == 0 and "{}" or i % 3 == 1 and ("%d.0"):format(i) or ("%d"):format(math.maxinteger - i)
        values[i] = i % 3 == 0 and {} or i % 3 == 1 and i + 0.0 or math.maxinteger - i
      end
      local text = "[" .. table.concat(texts, ",") .. "]"
      assert.same(values, json.decode(text))
      same_bytes(text)
      for _, short in ipairs { "{}", "[{}]", "{ }", "1e3", "[1e3]", "[1e3,1e3]", "[{},{},{}]", "-0.0" } do
        assert.is_not_nil(json.decode(short))
      end
    end)

    it("raises on what is not a string", function()
      assert.has_error(function() json.decode(nil) end)
      assert.has_error(function() json.decode(12) end)
      assert.has_error(function() json.decode("1", "x") end)
    end)
  end)

  describe(".encode", function()
    it("writes names in the order of their bytes", function()
      assert.equal('{"":0,"B":1,"a":2,"a1":3,"ab":4,"é":5}', json.encode {
        ab = 4, ["é"] = 5, a = 2, B = 1, a1 = 3, [""] = 0,
      })
      local many, names = {}, {}
      for i = 1, 500 do
        names[i] = ("k%d\0%d"):format(i * 7919 % 1000, i)
        many[names[i]] = i
      end
      table.sort(names)
      local found = {}
      for name in json.encode(many):gmatch '"(.-)":' do
        found[#found + 1] = name:gsub("\\u0000", "\0")
      end
      assert.same(names, found)
    end)

    it("writes the shortest float that reads back the same, as a float", function()
      for text, value in pairs {
        ["0.1"] = 0.1, ["1.0"] = 1.0, ["-0.0"] = -0.0, ["0.30000000000000004"] = 0.1 + 0.2, ["1e+300"] = 1e300,
        ["4.94065645841247e-324"] = 5e-324, ["1.7976931348623157e+308"] = 1.7976931348623157e308, ["1e+15"] = 1e15,
        ["100.0"] = 100.0, ["9007199254740992.0"] = 2.0 ^ 53, ["-1.5"] = -1.5,
      } do
        assert.equal(text, json.encode(value))
        local back = json.decode(text)
        assert.equal("float", math.type(back))
        assert.equal(("%a"):format(value), ("%a"):format(back))
      end
      assert.equal("-9223372036854775808", json.encode(math.mininteger))
    end)

    it("escapes what must be escaped and nothing else", function()
      local escaped = [["\"\\/\b\f\n\r\t\u0000\u0001\u001f]] .. '\u{7F}\u{20AC}"'
      assert.equal(escaped, json.encode '"\\/\b\f\n\r\t\0\1\31\u{7F}\u{20AC}')
    end)

    it("writes an empty table as an object, unless it is a list", function()
      assert.equal("{}", json.encode {})
      assert.equal("[]", json.encode(json.list {}))
      assert.equal('{"a":[],"b":{}}', json.encode { a = json.list {}, b = {} })
    end)

    it("indents", function()
      local text = '{\n  "a": [\n    1,\n    {}\n  ],\n  "b": []\n}'
      assert.equal(text, json.encode({ a = { 1, {} }, b = json.list {} }, { indent = 2 }))
      assert.has_error(function() json.encode(1, { indent = 17 }) end, "indent must be an integer from 0 to 16")
      assert.has_error(function() json.encode(1, { indent = "x" }) end)
    end)

    it("refuses what JSON cannot hold, with its path", function()
      local cycle = { a = {} }
      cycle.a[1] = { cycle }
      assert.equal("a[1][1]: a table that holds itself", complaint(cycle))
      assert.equal("a.b[2]: a function cannot be written as JSON", complaint { a = { b = { 1, print } } })
      assert.equal("a thread cannot be written as JSON", complaint(coroutine.create(print)))
      assert.equal("a userdata cannot be written as JSON", complaint(io.stdout))
      assert.equal("x: NaN cannot be written as JSON", complaint { x = 0 / 0 })
      assert.equal("x: an infinite number cannot be written as JSON", complaint { x = -math.huge })
      assert.equal("a nil cannot be written as JSON; json.null can", complaint(nil))
      assert.equal("[2]: bad UTF-8 at byte 3 of a string", complaint { "x", "ab\xFF" })
      assert.equal('o["\\xC3("]: bad UTF-8 at byte 1 of a string', complaint { o = { ["\xC3("] = 1 } })
      local mixed = "a table with both items and names is neither a list nor an object"
      assert.equal("m: " .. mixed, complaint { m = { 1, a = 2 } })
      assert.equal(mixed, complaint(json.list { a = 2 }))
      local holes = "h: a list with holes, 2 items up to index 3; json.null can fill them"
      assert.equal(holes, complaint { h = { 1, nil, 3 } })
      assert.equal("a list with the index 0, and lists begin at 1", complaint { [0] = 1 })
      assert.equal("a list with the index -5, and lists begin at 1", complaint { 1, 2, [-5] = 1 })
      assert.equal("k: a key is a boolean, and JSON has only strings for keys", complaint { k = { [true] = 1 } })
      assert.equal("a key is a number, and JSON has only strings for keys", complaint { [1.5] = 1 })
      local wide = {}
      for i = 1, 100 do
        wide["k" .. i] = i % 50 == 0 and { {}, { x = i == 100 and print or 1 } } or i
      end
      assert.equal("k100[2].x: a function cannot be written as JSON", complaint(wide))
    end)

    it("refuses a nesting beyond 128, and takes one table twice", function()
      local deep = {}
      for _ = 1, 128 do
        deep = { deep }
      end
      assert.equal("[1][1][1][1][1][1]\u{2026}[1][1][1]: nested deeper than 128", complaint(deep))
      assert.is_string(json.encode(deep[1]))
      local twice = { 1 }
      assert.equal("[[1],[1]]", json.encode { twice, twice })
    end)

    it("writes a long text", function()
      local list = {}
      for i = 1, 10000 do
        list[i] = ("x"):rep(i % 50) .. "\n\u{20AC}"
      end
      assert.same(list, json.decode(json.encode(list)))
      local long = ("\1"):rep(100000)
      assert.equal(long, json.decode(json.encode(long)))
    end)

    it("reads past metamethods", function()
      local guarded = setmetatable({ a = 1 }, { __index = error, __pairs = error, __len = error })
      assert.equal('{"a":1}', json.encode(guarded))
    end)
  end)

  describe(".list", function()
    it("returns its table, and refuses one with another metatable", function()
      local t = {}
      assert.equal(t, json.list(t))
      assert.equal(t, json.list(t))
      assert.is_true(json.is_list(t))
      assert.is_false(json.is_list {})
      assert.is_false(json.is_list "x")
      assert.is_false(json.is_list(setmetatable({}, {})))
      assert.has_error(function() json.list(setmetatable({}, {})) end)
      assert.has_error(function() json.list "x" end)
    end)

    it("cannot be changed for all lists through one", function()
      assert.is_false(getmetatable(json.list {}))
      assert.has_error(function() setmetatable(json.list {}, {}) end)
    end)
  end)

  it("brings random values back as they were", function()
    math.randomseed(20160329)
    local random = math.random

    local function string_of(n)
      local parts = {}
      for i = 1, n do
        local point = random(4) == 1 and random(0, 0x10FFFF) or random(0, 127)
        parts[i] = utf8.char(point >= 0xD800 and point <= 0xDFFF and 0x20AC or point)
      end
      return table.concat(parts)
    end

    local scalars = {
      function() return random(0) end,
      function() return random(-100, 100) end,
      function() return random(2 ^ 53 - 5 | 0, 2 ^ 53 + 5 | 0) end,
      function() return random() end,
      function() return random(-100, 100) + 0.0 end,
      function()
        local float
        repeat
          float = string.unpack("d", string.pack("j", random(0)))
        until float == float and math.abs(float) < math.huge
        return float
      end,
      function() return random(2) == 1 end,
      function() return json.null end,
      function() return string_of(random(0, 12)) end,
    }

    local function value_of(depth)
      local kind = random(depth > 0 and 13 or 9)
      if kind <= 9 then
        return scalars[kind]()
      end
      local value = kind <= 11 and json.list {} or {}
      for i = 1, random(0, 6) do
        value[kind <= 11 and i or "k" .. string_of(random(0, 5))] = value_of(depth - 1)
      end
      return value
    end

    local function equal(a, b)
      if type(a) ~= "table" then
        return a == b and math.type(a) == math.type(b)
      end
      if json.is_list(a) ~= json.is_list(b) then
        return false
      end
      for key, value in pairs(a) do
        if not equal(value, b[key]) then
          return false
        end
      end
      for key in pairs(b) do
        if a[key] == nil then
          return false
        end
      end
      return true
    end

    for i = 1, 3000 do
      local value = value_of(5)
      local text = json.encode(value, { indent = random(0, 3) })
      local back, message = json.decode(text)
      assert(equal(value, back), ("value %d: %s %s"):format(i, message, text))
      assert.equal(json.encode(value), json.encode(back))
    end
  end)
end)
