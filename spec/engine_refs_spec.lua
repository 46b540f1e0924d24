local date = require "moonsail.engine.date"
local hex = require "moonsail.engine.hex"
local refs = require "moonsail.engine.refs"

describe("engine.refs", function()
  it("covers full names, short names and wildcards", function()
    assert.is_true(refs.covers("refs/heads/main", "branch", "main"))
    assert.is_true(refs.covers("main", "branch", "main"))
    assert.is_true(refs.covers("*", "tag", "v1.0"))
    assert.is_true(refs.covers("dev/*", "branch", "dev/a/b"))
    assert.is_true(refs.covers("refs/tags/v*", "tag", "v1.0"))
    assert.is_true(refs.covers("refs/pull/*", "pull_request", "pull/7"))
    assert.is_true(refs.covers("pull/*", "pull_request", "pull/7"))
    assert.is_false(refs.covers("refs/heads/main", "tag", "main"))
    assert.is_false(refs.covers("main", "branch", "main2"))
    assert.is_false(refs.covers("*", "pull_request", "pull/7"))
    assert.is_false(refs.covers("v1.0", "tag", "v1x0"))
  end)

  it("lets * stand for any text, also for none", function()
    for _, case in ipairs {
      { "*", "", true }, { "a*", "a", true }, { "*a", "ba", true }, { "a*b*c", "abc", true },
      { "a*b*c", "a/b/b/c", true }, { "a*b*c", "acb", false }, { "a*a", "a", false }, { "**x**", "x", true },
      { "a*bc*c", "abc", false }, { "%d*", "1", false }, { "a.*", "abc", false }, { ("*a"):rep(99) .. "*b",
        ("a"):rep(250), false },
    } do
      assert.equal(case[3], refs.matches(case[1], case[2]), case[1] .. " and " .. case[2])
    end
  end)

  it("covers what a regular expression in parentheses says of the full name", function()
    for _, case in ipairs {
      { "(refs/heads/dev.*)", "branch", "dev/a", true },
      { "(refs/heads/dev.*)", "branch", "main", false },
      { "(refs/heads/dev.*)", "tag", "dev", false },
      { "(refs/heads/(?!master).*)", "branch", "main", true },
      { "(refs/heads/(?!master).*)", "branch", "master", false },
      { "(refs/heads/main)", "branch", "main2", false },
      { "(refs/heads/a)|(refs/heads/b)", "branch", "ab", false },
      { "(refs/heads/a)|(refs/heads/b)", "branch", "b", true },
      { "(.*)", "tag", "v1", true },
      { "(refs/pull/.*)", "pull_request", "pull/7", true },
    } do
      local pattern, kind, name, covered = table.unpack(case)
      assert.equal(covered, refs.covers(pattern, kind, name), pattern .. " and " .. name)
      assert.is_true(refs.is_wild(pattern))
    end
  end)

  it("gives a regular expression up that does not come to an end", function()
    local long = ("a"):rep(60)
    assert.is_true(refs.covers("(refs/heads/(a+)+)", "branch", long))
    assert.is_false(refs.covers("(refs/heads/(a+)+!)", "branch", long))
  end)

  it("tells what is wrong with a pattern", function()
    assert.is_true(refs.check "dev/*")
    assert.is_true(refs.check "(refs/heads/.*)")
    assert.matches("is not a regular expression: ", select(2, refs.check "(refs/heads/()"))
    assert.matches("the whole of it", select(2, refs.check "(refs/heads/.*"))
  end)

  it("never takes a revision for a name", function()
    for _, name in ipairs { "main~1", "main^", "HEAD@{1}", "a..b", ":/x", "a b", "", "-x", "/a", "a/", "x.lock",
      "a\0b", "a//b" } do
      assert.is_false(refs.valid(name), name)
    end
    for _, name in ipairs { "main", "feature/x", "v1.0", "a@b" } do assert.is_true(refs.valid(name), name) end
  end)
end)

describe("engine.date", function()
  it("writes milliseconds and reads every form of the API", function()
    assert.equal("2016-03-29T08:08:20.205Z", date.format(1459238900.2055))
    assert.equal("2016-01-19T12:36:33Z", date.format_whole(1453206993))
    assert.equal(1479472696, date.parse "2016-11-18T12:38:16.000Z")
    assert.equal(1479472696, date.parse "2016-11-18T12:38:16Z")
    assert.equal(1479472696.5, date.parse "2016-11-18T12:38:16.5Z")
    assert.equal(1479472696, date.parse "2016-11-18T14:38:16+02:00")
    assert.equal(951782400, date.parse "2000-02-29T00:00:00Z")
    assert.is_nil(date.parse "tomorrow")
  end)

  it("reads what it writes", function()
    for _, seconds in ipairs { 0, 86399, 951782400, 1709164800, 4102444800 } do
      assert.equal(seconds, date.parse(date.format(seconds)))
    end
  end)
end)

describe("engine.hex", function()
  it("tells what an id belongs to", function()
    local execution = hex.of_execution("0123abcd", 7, 42)
    local id = hex.of_action(execution, 3, 1)
    assert.equal(24, #execution)
    assert.equal(24, #id)
    assert.equal(3, hex.position(execution, 1, id))
    assert.is_nil(hex.position(execution, 2, id))
    assert.equal(3, hex.position(execution, 2, hex.of_action(execution, 3, 2)))
    assert.is_nil(hex.position(hex.of_execution("0123abcd", 7, 43), 1, id))
    assert.is_nil(hex.position(execution, 1, execution))
    assert.is_nil(hex.position(execution, 1, ("z"):rep(24)))
  end)
end)
