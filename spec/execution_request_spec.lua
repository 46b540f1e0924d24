local execution = require "host.execution"
local json = require "host.json"
local server = require "host.server"
local task = require "host.task"

--- The request's bytes.
local function bytes(fields)
  local request, faults = execution.request(fields)
  assert(request, faults and json.encode(faults))
  return request:json()
end

--- Every fault as a line: "path: found …, expected …".
local function faults(fields)
  local request, list = execution.request(fields)
  assert.is_nil(request)
  local lines = {}
  for i, fault in ipairs(list) do
    lines[i] = ("%s: found %s, expected %s%s"):format(fault.path, fault.found, fault.expected,
      fault.nearest and ", near " .. fault.nearest or "")
  end
  return lines
end

local function fault(fields)
  local lines = faults(fields)
  assert.equal(1, #lines, table.concat(lines, "\n"))
  return lines[1]
end

local REVISION = "HEAD or a commit, 4 to 40 hexadecimal digits"
local SCALAR = "a string, a number or a boolean"
local DATE = "a time such as 2016-11-18T12:38:16.000Z, or 3h10m from now"
local KNOWN = "one of " .. table.concat(execution.fields, ", ")
local VARIABLES = "variables by name, or a list of { key = …, value = … }"

describe("host.execution", function()
  describe(".fields", function()
    it("names the fields in order", function()
      local sorted = { table.unpack(execution.fields) }
      table.sort(sorted)
      assert.same(sorted, execution.fields)
      assert.equal(15, #sorted)
    end)
  end)

  describe(".request", function()
    it("composes the four requests of the API's page", function()
      assert.equal(
        '{"actions_to_run":[23,24],"clear_cache":true,"comment":"hotfix","priority":"HIGH",'
          .. '"to_revision":{"revision":"HEAD"},"variables":[{"encrypted":true,"key":"pass","value":"qwerty"},'
          .. '{"key":"version","value":"1.0"}]}',
        bytes {
          revision = "HEAD", comment = "hotfix", priority = "HIGH", clear_cache = true, actions_to_run = { 23, 24 },
          variables = { version = "1.0", pass = { value = "qwerty", encrypted = true } },
        })
      assert.equal('{"branch":{"name":"master"},"comment":"x"}', bytes { branch = "master", comment = "x" })
      assert.equal('{"tag":{"name":"v1.0"}}', bytes { tag = "v1.0" })
      assert.equal('{"pull_request":{"name":"pull/1"}}', bytes { pull_request = 1 })
    end)

    it("makes the same bytes of the short form and of the API's own", function()
      local sha = "506a3967e9ad1e4bb1f0d20e1d3e6a5f0b1c2d3e"
      for _, pair in ipairs {
        { { branch = "master" }, { branch = { name = "master" } } },
        { { tag = "v1.0" }, { tag = { name = "v1.0" } } },
        { { pull_request = "pull/12" }, { pull_request = { name = "pull/12" } } },
        { { pull_request = 12 }, { pull_request = { name = 12.0 } } },
        { { to_revision = "HEAD" }, { to_revision = { revision = "HEAD" } } },
        { { revision = sha }, { to_revision = { revision = sha } } },
        { { revision = { revision = sha } }, { to_revision = sha } },
        { { from_revision = "abcd" }, { from_revision = { revision = "abcd" } } },
        { { actions_to_run = { 5.0 } }, { actions_to_run = json.list { 5 } } },
        { { delay_until = "2999-11-18T12:38:16Z" }, { delay_until = "2999-11-18T12:38:16.000Z" } },
        { { variables = {} }, { variables = json.list {} } },
        { { variables = { A = "x" } }, { variables = { { key = "A", value = "x" } } } },
        { { variables = { A = "x" } }, { variables = { A = { value = "x", encrypted = false } } } },
        { { variables = { A = 3, B = true } },
          { variables = { { key = "B", value = "true" }, { key = "A", value = "3", encrypted = false } } } },
        { { variables = { P = { value = 1.5, encrypted = true } } },
          { variables = { { key = "P", value = "1.5", encrypted = true } } } },
      } do
        assert.equal(bytes(pair[1]), bytes(pair[2]))
        assert.is_true(execution.request(pair[1]) == execution.request(pair[2]))
      end
    end)

    it("sends what its own bytes say", function()
      local text = bytes {
        tag = "v1", revision = "abcdef", variables = { A = 1, B = { value = "", encrypted = true } }, refresh = false,
        environment = "staging", package_version = "web:1.0", delay_until = "2999-01-01T00:00:00.5Z",
      }
      assert.equal(text, bytes(json.decode(text)))
    end)

    it("sends only the fields that are given", function()
      assert.equal("{}", bytes {})
      assert.equal('{"refresh":false}', bytes { refresh = false })
      assert.equal('{"comment":""}', bytes { comment = "" })
      assert.equal('{"variables":[]}', bytes { variables = {} })
    end)

    it("sends the values of variables as text", function()
      for text, value in pairs {
        ["3"] = 3, ["-9223372036854775808"] = math.mininteger, ["1.5"] = 1.5, ["2.0"] = 2.0, ["true"] = true,
        ["0.30000000000000004"] = 0.1 + 0.2, ["false"] = false, [""] = "", ["a\nb"] = "a\nb",
      } do
        assert.equal(text, json.decode(bytes { variables = { A = value } }).variables[1].value)
      end
    end)

    it("brings dates to milliseconds", function()
      for given, sent in pairs {
        ["2999-02-28T23:59:59Z"] = "2999-02-28T23:59:59.000Z",
        ["2996-02-29T00:00:00.1Z"] = "2996-02-29T00:00:00.100Z",
        ["2999-12-31T00:00:00.123456789Z"] = "2999-12-31T00:00:00.123Z",
      } do
        assert.equal('{"delay_until":"' .. sent .. '"}', bytes { delay_until = given })
      end
    end)

    it("turns a time from now into the time that it will be then", function()
      local _ <close> = task.simulate(1e9 + 0.25) -- 2001-09-09T01:46:40.250Z
      for given, sent in pairs {
        ["30s"] = "2001-09-09T01:47:10.250Z", ["1m"] = "2001-09-09T01:47:40.250Z",
        ["3h10m"] = "2001-09-09T04:56:40.250Z", ["2d"] = "2001-09-11T01:46:40.250Z",
        ["1d2h3m4s"] = "2001-09-10T03:49:44.250Z", ["90000s"] = "2001-09-10T02:46:40.250Z",
        ["2d0h"] = "2001-09-11T01:46:40.250Z", ["2921322d"] = "9999-12-31T01:46:40.250Z",
      } do
        assert.equal('{"delay_until":"' .. sent .. '"}', bytes { delay_until = given })
      end
    end)

    it("makes the same bytes in whatever order the fields were set", function()
      math.randomseed(7)
      local names, first = {}, nil
      for i = 1, 40 do
        names[i] = ("V%d"):format(i)
      end
      for _ = 1, 200 do
        local variables, fields = {}, {}
        for i = #names, 2, -1 do
          local j = math.random(i)
          names[i], names[j] = names[j], names[i]
        end
        for i, name in ipairs(names) do
          variables["-" .. i] = true -- so that the table grows in another order
          variables["-" .. i] = nil
          variables[name] = { value = name, encrypted = name:find "7" ~= nil }
        end
        local order = { "comment", "tag", "refresh", "variables", "priority", "revision" }
        for i = #order, 1, -1 do
          local name = table.remove(order, math.random(i))
          fields[name] = ({ comment = "c", tag = "t", refresh = true, variables = variables, priority = "LOW",
            revision = "HEAD" })[name]
        end
        first = first or bytes(fields)
        assert.equal(first, bytes(fields))
      end
    end)

    it("takes many variables, as a map or as a list", function()
      for _, count in ipairs { 23, 24, 25, 26, 500 } do
        local map, list, reversed = {}, {}, {}
        for i = 1, count do
          local name, value = ("V%03d"):format(i), ("x"):rep(i % 70)
          map[name] = i % 3 == 0 and { value = value, encrypted = true } or value
          list[i] = { key = name, value = value, encrypted = i % 3 == 0 }
          reversed[count + 1 - i] = list[i]
        end
        local text = bytes { variables = map }
        assert.equal(text, bytes { variables = list })
        assert.equal(text, bytes { variables = reversed })
        local sent = json.decode(text).variables
        assert.equal(count, #sent)
        for i, variable in ipairs(sent) do
          assert.equal(list[i].key, variable.key)
          assert.equal(list[i].value, variable.value)
          assert.equal(i % 3 == 0 or nil, variable.encrypted)
        end
        list[count].key = "V001"
        assert.equal(('variables[%d].key: found string "V001", which is item 1 too, expected each variable once')
          :format(count), fault { variables = list })
      end
    end)

    it("names the nearest field for a misspelt one", function()
      assert.equal("brnach: found an unknown name, expected " .. KNOWN .. ", near branch", fault { brnach = "x" })
      assert.equal("Branch: found an unknown name, expected " .. KNOWN .. ", near branch", fault { Branch = "x" })
      assert.equal("zzz: found an unknown name, expected " .. KNOWN, fault { zzz = 1 })
      assert.equal('["a b"]: found an unknown name, expected ' .. KNOWN, fault { ["a b"] = 1 })
      assert.equal("branch.nmae: found an unknown name, expected one of name, near name",
        faults { branch = { nmae = "x" } }[2])
      assert.equal("variables.A.encrypt: found an unknown name, expected one of encrypted, value, near encrypted",
        fault { variables = { A = { value = "x", encrypt = true } } })
      assert.equal("variables[1].values: found an unknown name, expected one of encrypted, key, value, near value",
        fault { variables = { { key = "A", value = "x", values = "x" } } })
    end)

    it("refuses a priority that there is none of", function()
      assert.equal('priority: found string "URGENT", expected LOW, NORMAL or HIGH', fault { priority = "URGENT" })
      assert.equal('priority: found string "low", expected LOW, NORMAL or HIGH, near LOW', fault { priority = "low" })
      assert.equal('priority: found string "NROMAL", expected LOW, NORMAL or HIGH, near NORMAL',
        fault { priority = "NROMAL" })
      assert.equal("priority: found number 1, expected LOW, NORMAL or HIGH", fault { priority = 1 })
    end)

    it("refuses actions that are not a list of ids", function()
      local LIST, ID = "a list of the ids of actions", "the id of an action, a positive integer"
      assert.equal("actions_to_run: found an empty list, expected " .. LIST, fault { actions_to_run = {} })
      assert.equal("actions_to_run: found a table with names, expected " .. LIST, fault { actions_to_run = { a = 1 } })
      assert.equal("actions_to_run: found a number, expected " .. LIST, fault { actions_to_run = 5 })
      assert.equal("actions_to_run: found a list with holes, expected " .. LIST,
        fault { actions_to_run = { 1, nil, 3 } })
      assert.equal('actions_to_run[1]: found string "x", expected ' .. ID, fault { actions_to_run = { "x" } })
      assert.equal('actions_to_run[1]: found string "5", expected ' .. ID, fault { actions_to_run = { "5" } })
      assert.same({
        "actions_to_run[1]: found number 0, expected " .. ID,
        "actions_to_run[2]: found number -3, expected " .. ID,
        "actions_to_run[3]: found number 1.5, expected " .. ID,
        "actions_to_run[4]: found boolean true, expected " .. ID,
        "actions_to_run[5]: found a table, expected " .. ID,
        "actions_to_run[6]: found number inf, expected " .. ID,
        "actions_to_run[10]: found number 7, which is item 7 too, expected each action once",
      }, faults { actions_to_run = { 0, -3, 1.5, true, {}, math.huge, 7, 8, 9, 7.0 } })
    end)

    it("refuses variables that have no good name or value", function()
      assert.equal("variables: found a string, expected " .. VARIABLES, fault { variables = "A=1" })
      assert.equal("variables: found a table whose keys are neither all names nor all indices, expected " .. VARIABLES,
        fault { variables = { { key = "A", value = "x" }, B = "y" } })
      assert.equal("variables[1].key: found nothing, expected the name of a variable",
        fault { variables = { { value = "x" } } })
      assert.equal("variables[1]: found a string, expected { key = …, value = … }", fault { variables = { "x" } })
      assert.equal("variables[1].value: found nothing, expected " .. SCALAR, fault { variables = { { key = "A" } } })
      assert.equal("variables.A.value: found nothing, expected " .. SCALAR, fault { variables = { A = {} } })
      assert.equal("variables.A: found a list, expected " .. SCALAR, fault { variables = { A = { "x" } } })
      assert.equal("variables.A: found a function, expected " .. SCALAR, fault { variables = { A = print } })
      assert.equal("variables.A: found a number that is not finite, expected " .. SCALAR,
        fault { variables = { A = 0 / 0 } })
      assert.equal("variables.A: found null, expected " .. SCALAR, fault { variables = { A = json.null } })
      assert.equal("variables.A.encrypted: found string \"yes\", expected true or false",
        fault { variables = { A = { value = "x", encrypted = "yes" } } })
      assert.equal('variables[""]: found this name, expected the name of a variable',
        fault { variables = { [""] = "x" } })
      assert.equal('variables["A=B"]: found this name, expected the name of a variable',
        fault { variables = { ["A=B"] = "x" } })
      assert.equal('variables["A\\x00"]: found this name, expected the name of a variable',
        fault { variables = { ["A\0"] = "x" } })
      assert.equal('variables[1].key: found string "A\\x0A", expected the name of a variable',
        fault { variables = { { key = "A\n", value = "x" } } })
      assert.equal('variables[1].key: found number 5, expected the name of a variable',
        fault { variables = { { key = 5, value = "x" } } })
    end)

    it("refuses two variables of one name", function()
      assert.same({ 'variables[3].key: found string "A", which is item 1 too, expected each variable once' },
        faults { variables = { { key = "A", value = 1 }, { key = "B", value = 1 }, { key = "A", value = 2 } } })
    end)

    it("finds the faults of each of several variables", function()
      assert.same({
        "variables[1].key: found nothing, expected the name of a variable",
        "variables[2].key: found nothing, expected the name of a variable",
        "variables[2].value: found nothing, expected " .. SCALAR,
        "variables[4]: found a boolean, expected { key = …, value = … }",
      }, faults { variables = { { value = "x" }, {}, { key = "A", value = "x" }, true } })
      assert.same({
        "variables.A.value: found nothing, expected " .. SCALAR,
        'variables["A\\x00"]: found this name, expected the name of a variable',
      }, faults { variables = { A = {}, ["A\0"] = "x" } })
    end)

    it("never shows the value of a variable", function()
      local secret = "s3cret"
      for _, variables in ipairs {
        { P = { value = secret .. "\0", encrypted = true } },
        { P = { value = secret .. "\xFF", encrypted = 1 } },
        { P = { valeu = secret, encrypted = true } },
        { P = { value = { secret }, encrypted = true } },
        { { key = "P", value = secret .. "\0", encrypted = true } },
        { { key = "P", valu = secret } },
        { P = secret .. "\0" },
        { "P=" .. secret },
        "P=" .. secret,
      } do
        assert.is_nil(table.concat(faults { variables = variables }, "\n"):find(secret, 1, true))
      end
    end)

    it("refuses more than one of branch, tag and pull request", function()
      local ONE = "expected only one of branch, pull_request and tag"
      assert.equal("tag: found branch as well, " .. ONE, fault { branch = "a", tag = "b" })
      assert.equal("pull_request: found branch as well, " .. ONE, fault { branch = "a", pull_request = 1 })
      assert.equal("tag: found pull_request as well, " .. ONE, fault { tag = "a", pull_request = 1 })
      assert.same({ "pull_request: found branch as well, " .. ONE, "tag: found branch as well, " .. ONE },
        faults { branch = "a", tag = "b", pull_request = 1 })
      assert.equal("to_revision: found revision as well, expected only one of revision and to_revision",
        fault { revision = "HEAD", to_revision = "HEAD" })
    end)

    it("refuses a date that is none, or past", function()
      assert.equal('delay_until: found string "tomorrow", expected ' .. DATE, fault { delay_until = "tomorrow" })
      for _, text in ipairs {
        "", "s", "30", "30 s", "10m3h", "3h3h", "-30s", "1.5h", "1w", "30sx", "1234567890s", "3h10",
        "2999-01-01", "2999-01-01T00:00:00", "2999-01-01T00:00:00+01:00", "2999-01-01 00:00:00Z",
        "2999-01-01T00:00:00.Z", "2999-01-01T00:00:00.1234567890Z", "2999-1-01T00:00:00Z", "2999-01-01T00:00:00Zx",
        "+999-01-01T00:00:00Z", "2999-01-01T00:00:00.000", " 2999-01-01T00:00:00Z",
      } do
        assert.equal(('delay_until: found string "%s", expected %s'):format(text, DATE), fault { delay_until = text })
      end
      for _, text in ipairs {
        "2999-02-29T00:00:00Z", "2999-13-01T00:00:00Z", "2999-00-01T00:00:00Z", "2999-01-00T00:00:00Z",
        "2999-04-31T00:00:00Z", "2999-01-01T24:00:00Z", "2999-01-01T00:60:00Z", "2999-01-01T00:00:60Z",
      } do
        assert.equal(('delay_until: found string "%s", expected a day and a time that exist'):format(text),
          fault { delay_until = text })
      end
      local past = os.date("!%Y-%m-%dT%H:%M:%SZ", math.floor(task.now()) - 2)
      assert.equal(('delay_until: found string "%s", expected a time in the future'):format(past),
        fault { delay_until = past })
      assert.is_string(bytes { delay_until = os.date("!%Y-%m-%dT%H:%M:%SZ", math.floor(task.now()) + 60) })
      assert.equal("delay_until: found number 60, expected " .. DATE, fault { delay_until = 60 })
      assert.equal('delay_until: found string "0s", expected a time in the future', fault { delay_until = "0s" })
      assert.equal('delay_until: found string "999999999d", expected a time before the year 10000',
        fault { delay_until = "999999999d" })
    end)

    it("refuses names, revisions and flags of the wrong form", function()
      for _, text in ipairs { "", "abc", "head", "HEAD~1", "xyz123", ("a"):rep(41), "abcd\n" } do
        assert.matches("expected " .. REVISION, fault { to_revision = text }, 1, true)
        assert.matches("^from_revision.revision: found string", fault { from_revision = { revision = text } })
      end
      for _, name in ipairs { "", "a\nb", "a\0b", "a\xFF" } do
        for _, field in ipairs { "branch", "tag", "environment" } do
          assert.matches("^" .. field .. ": found string ", fault { [field] = name })
        end
      end
      assert.equal('branch: found string "", expected the name of a branch', fault { branch = "" })
      assert.equal('branch: found string "a\\x00b", expected text without a zero byte', fault { branch = "a\0b" })
      assert.equal('branch.name: found string "a\\xFF", expected text in good UTF-8',
        fault { branch = { name = "a\xFF" } })
      assert.equal('comment: found string "\\x00", expected text without a zero byte', fault { comment = "\0" })
      assert.is_string(bytes { comment = "two\nlines" })
      assert.equal("branch.name: found nothing, expected the name of a branch", fault { branch = {} })
      assert.equal("branch: found a list, expected the name of a branch", fault { branch = { "master" } })
      for _, value in ipairs { "1", "pull", "pull/", "pull/0", "pull/01", "pull/x", "pull/1/head", "refs/pull/1" } do
        assert.equal(('pull_request: found string "%s", expected a pull request such as pull/1'):format(value),
          fault { pull_request = value })
      end
      assert.equal("pull_request: found number 0, expected a pull request such as pull/1", fault { pull_request = 0 })
      assert.equal('refresh: found string "true", expected true or false', fault { refresh = "true" })
      assert.equal("clear_cache: found number 1, expected true or false", fault { clear_cache = 1 })
      assert.equal('package_version: found string "web", expected a package such as name:1.0',
        fault { package_version = "web" })
      assert.equal("branch: found null, expected no such field when there is nothing to send",
        fault { branch = json.null })
    end)

    it("finds every fault at once, in the order of their paths", function()
      assert.same({
        "actions_to_run[2]: found string \"x\", expected the id of an action, a positive integer",
        "actions_to_run[11]: found number 0, expected the id of an action, a positive integer",
        "brnch: found an unknown name, expected " .. KNOWN .. ", near branch",
        "priority: found string \"URGENT\", expected LOW, NORMAL or HIGH",
        "pull_request: found boolean true, expected a pull request such as pull/1",
        "tag: found pull_request as well, expected only one of branch, pull_request and tag",
        "variables.A: found a function, expected " .. SCALAR,
        "variables.B.value: found a table, expected " .. SCALAR,
      }, faults {
        brnch = 1, priority = "URGENT", tag = "x", pull_request = true,
        actions_to_run = { 1, "x", 3, 4, 5, 6, 7, 8, 9, 10, 0 }, variables = { A = print, B = { value = {} } },
      })
    end)

    it("names each fault by its own path, however deep the one before was", function()
      assert.same({
        'branch.name: found boolean true, expected the name of a branch',
        'branch["n\\"m"]: found an unknown name, expected one of name',
        "comment: found number 1, expected text",
        "delay_until: found a table, expected " .. DATE,
        "variables.A.encrypted: found string \"no\", expected true or false",
        'variables["b c"].valu: found an unknown name, expected one of encrypted, value, near value',
        'variables["b c"].value: found nothing, expected ' .. SCALAR,
        "zzz: found an unknown name, expected " .. KNOWN,
      }, faults {
        branch = { name = true, ['n"m'] = 1 }, comment = 1, delay_until = {}, zzz = 1,
        variables = { A = { value = "x", encrypted = "no" }, ["b c"] = { valu = "x" } },
      })
      assert.same({
        "from_revision.revision: found string \"x\", expected " .. REVISION,
        "revision: found number 1, expected " .. REVISION,
        "to_revision: found revision as well, expected only one of revision and to_revision",
        "variables[2].key: found nothing, expected the name of a variable",
        "variables[2].value: found nothing, expected " .. SCALAR,
        "variables[3].key: found string \"A\", which is item 1 too, expected each variable once",
        "variables[3].value: found a table, expected " .. SCALAR,
      }, faults {
        from_revision = { revision = "x" }, revision = 1, to_revision = { revision = "HEAD" },
        variables = { { key = "A", value = 1 }, {}, { key = "A", value = {} } },
      })
    end)

    it("copes with whatever Lua can put into a table", function()
      local cycle = {}
      cycle.branch, cycle[1] = cycle, cycle
      local huge = {}
      for i = 1, 20000 do
        huge[i] = i
      end
      local guarded = setmetatable({}, { __index = error, __pairs = error, __len = error })
      local values = {
        cycle, huge, guarded, print, io.stdout, coroutine.create(print), 0 / 0, math.huge, -1, math.mininteger,
        "\xFF\0", ("x"):rep(100000), { [1.5] = 1 }, { [true] = 1 }, { 1, a = 1 }, { [0] = 1 },
        { [math.maxinteger] = 1 }, { [cycle] = cycle }, json.null, json.list { cycle },
        { name = cycle }, { { { {} } } }, { key = huge },
        { [("k"):rep(5000)] = guarded },
      }
      for _, field in ipairs(execution.fields) do
        for _, value in ipairs(values) do
          local request, list = execution.request { [field] = value }
          assert.is_true(request ~= nil or #list > 0)
          for _, one in ipairs(list or {}) do
            assert.is_true(#one.path < 256 and #one.found < 160, one.path)
            assert.is_truthy(utf8.len(one.path) and utf8.len(one.found))
          end
        end
      end
      assert.matches("^request: found a table whose keys are neither all names nor all indices", fault(cycle))
      assert.equal("request: found a list, expected a table of fields", fault { "x" })
      assert.equal("request: found a table with a metatable, expected a plain table", fault(guarded))
      assert.matches("^request: found a table with more entries than any request needs", fault(huge))
      assert.has_error(function() execution.request(nil) end)
      assert.has_error(function() execution.request "branch" end)
    end)

    it("shortens what it found", function()
      local found = fault { branch = ("\u{E9}"):rep(5000) .. "\n" }
      assert.equal('branch: found string "' .. ("\u{E9}"):rep(20) .. '…", expected the name of a branch', found)
    end)
  end)

  describe("a request", function()
    local request = execution.request {
      branch = "main", variables = { A = "open", P = { value = "s3cret", encrypted = true } },
    }

    it("shows encrypted values as bullets, and sends them whole", function()
      local text = '{"branch":{"name":"main"},"variables":[{"key":"A","value":"open"},'
        .. '{"encrypted":true,"key":"P","value":"%s"}]}'
      assert.equal(text:format "s3cret", request:json())
      assert.equal(text:format "••••", request:masked())
      assert.equal(text:format "••••", tostring(request))
      local plain = execution.request { branch = "main" }
      assert.equal(plain:json(), plain:masked())
      assert.equal(plain:json(), tostring(plain))
    end)

    it("masks encrypted values and nothing else, whatever the texts are", function()
      math.randomseed(11)
      local pieces = {
        '{"encrypted":true,"key":"', '","value":"', '"}', '"', "\\", '\\"', "{", "x", "•", "\n", "}", "]", ",", "•••• ",
      }
      local function text()
        local parts = {}
        for i = 1, math.random(0, 5) do
          parts[i] = pieces[math.random(#pieces)]
        end
        return table.concat(parts)
      end
      for _ = 1, 500 do
        local variables, expected = {}, {}
        for i = 1, math.random(0, 6) do
          local key = i .. text():gsub("%c", "")
          local variable = { key = key, value = text(), encrypted = math.random(2) == 1 or nil }
          variables[i] = variable
          expected[i] = { key = key, value = variable.encrypted and "••••" or variable.value,
            encrypted = variable.encrypted }
        end
        local fields = { comment = text(), variables = variables }
        local made = assert(execution.request(fields))
        assert.same(fields, json.decode(made:json()))
        assert.equal(json.encode { comment = fields.comment, variables = json.list(expected) }, made:masked())
      end
    end)

    it("cannot be changed", function()
      assert.has_error(function() request.branch = "other" end)
      assert.has_error(function() request.json = print end)
      assert.has_error(function() setmetatable(request, {}) end)
      assert.has_error(function() rawset(request, "branch", "x") end)
      assert.equal("host.ExecutionRequest", getmetatable(request))
      local variables = { A = "1" }
      local made = execution.request { variables = variables }
      local before = made:json()
      variables.A = "2"
      assert.equal(before, made:json())
    end)

    it("equals another of the same bytes", function()
      local one, two = execution.request { branch = "a" }, execution.request { branch = { name = "a" } }
      assert.is_true(one == two)
      assert.is_false(one == execution.request { branch = "b" })
      assert.is_false(one == one:json())
      assert.is_false(rawequal(one, two))
    end)

    it("is copied with some fields changed", function()
      local changed = request:with { branch = "next", comment = "again" }
      assert.equal("next", json.decode(changed:json()).branch.name)
      assert.equal("again", json.decode(changed:json()).comment)
      assert.same(json.decode(request:json()).variables, json.decode(changed:json()).variables)
      assert.equal("main", json.decode(request:json()).branch.name)
      assert.is_true(request:with {} == request)
      assert.is_true(request:with { variables = {} } == execution.request { branch = "main", variables = {} })
      local pinned = execution.request { to_revision = "abcd" }:with { revision = "HEAD" }
      assert.equal('{"to_revision":{"revision":"HEAD"}}', pinned:json())
    end)

    it("is validated anew when it is copied", function()
      local function first(changes)
        local made, list = request:with(changes)
        assert.is_nil(made)
        return list[1].path .. ": " .. list[1].found
      end
      assert.equal("tag: branch as well", first { tag = "x" })
      assert.equal("comit: an unknown name", first { comit = "x" })
      assert.equal("request: a table with a metatable", first(setmetatable({}, { __index = error })))
      assert.equal("request: a table whose keys are neither all names nor all indices", first { 1 })
      assert.equal("to_revision: revision as well", first { revision = "HEAD", to_revision = "HEAD" })
      assert.has_error(function() request:with() end)
    end)
  end)

  describe(".nearest", function()
    it("finds the name with the fewest slips", function()
      local names = { "branch", "tag", "priority", "comment", "variables" }
      for wanted, found in pairs {
        brnach = "branch", branc = "branch", BRANCH = "branch", braanch = "branch", tga = "tag", priorty = "priority",
        coment = "comment", varibles = "variables", variable = "variables",
      } do
        assert.equal(found, execution.nearest(wanted, names))
      end
      for _, wanted in ipairs { "x", "", "environment", "zzzzzz", ("branch"):rep(100), "yes" } do
        assert.is_nil(execution.nearest(wanted, names))
      end
      assert.equal("b", execution.nearest("b", { "a", "b" }))
      assert.is_nil(execution.nearest("a", {}))
      assert.equal("ab", execution.nearest("abc", { "ab", "bc" }))
      assert.has_error(function() execution.nearest("a", { 1 }) end)
      assert.has_error(function() execution.nearest(nil, {}) end)
    end)
  end)

  describe(".submit", function()
    --- What becomes of a request when the server answers so.
    local function submit_to(answer, target)
      local seen = {}
      local served <close> = assert(server.listen({}, function(request)
        seen[#seen + 1] = request
        return type(answer) == "function" and answer(request) or answer
      end))
      target = target or {}
      target.url = ("http://127.0.0.1:%d/x/executions"):format(served.port)
      local request = execution.request { branch = "main", variables = { P = { value = "s3cret", encrypted = true } } }
      local outcome = execution.submit(request, target)
      return outcome, seen, request
    end

    it("sends the exact bytes once, as JSON, with the target's headers", function()
      local outcome, seen, request = submit_to({ body = '{"id":7,"status":"INPROGRESS","comment":null}' },
        { headers = { Authorization = "Bearer t0ken" } })
      assert.equal("accepted", outcome.outcome)
      assert.equal(200, outcome.status)
      assert.same({ id = 7, status = "INPROGRESS", comment = json.null }, outcome.execution)
      assert.is_nil(outcome.message)
      assert.equal(1, #seen)
      assert.equal("POST", seen[1].method)
      assert.equal("/x/executions", seen[1].path)
      assert.equal(request:json(), seen[1].body)
      assert.equal("application/json", seen[1].headers["content-type"])
      assert.equal("application/json", seen[1].headers.accept)
      assert.equal("Bearer t0ken", seen[1].headers.authorization)
    end)

    it("leaves headers that are given as they are", function()
      for _, headers in ipairs {
        { accept = "text/plain", ["CONTENT-TYPE"] = "x/y" }, { accept = "text/plain" }, { ["CONTENT-TYPE"] = "x/y" },
        {},
      } do
        local given = json.encode(headers)
        for _ = 1, 2 do
          local _, seen = submit_to({ body = '{"id":7}' }, { headers = headers })
          assert.equal(headers.accept or "application/json", seen[1].headers.accept)
          assert.equal(headers["CONTENT-TYPE"] or "application/json", seen[1].headers["content-type"])
          assert.equal(given, json.encode(headers))
        end
      end
    end)

    it("takes a 4xx as refused, in the server's own words", function()
      for body, message in pairs {
        ['{"errors":[{"message":"No such action"}]}'] = "No such action",
        ['{"errors":[{"message":"One"},{"message":"Two\\u001b[2J"},{"code":1},"Three"]}'] = "One; Two [2J; Three",
        ['{"error":"invalid_token"}'] = "invalid_token",
        ['{"message":"Not found"}'] = "Not found",
        ['{"errors":[],"message":"Fallback"}'] = "Fallback",
        ["{}"] = "the server answered with the status 404",
        ["<html>"] = "the server answered with the status 404",
        [""] = "the server answered with the status 404",
      } do
        local outcome = submit_to { status = 404, body = body }
        assert.equal("refused", outcome.outcome)
        assert.equal(404, outcome.status)
        assert.equal(message, outcome.message)
        assert.equal(body, outcome.response.body)
        assert.is_nil(outcome.execution)
      end
      for _, status in ipairs { 400, 401, 403, 408, 429 } do
        assert.equal("refused", submit_to({ status = status, body = "{}" }).outcome)
      end
    end)

    it("takes a redirect as refused, and does not follow it", function()
      local outcome, seen = submit_to { status = 307, headers = { Location = "http://127.0.0.1:1/elsewhere" } }
      assert.equal("refused", outcome.outcome)
      assert.equal("redirects", outcome.code)
      assert.equal("the server redirects to http://127.0.0.1:1/elsewhere, which is not followed with the token",
        outcome.message)
      assert.equal(1, #seen)
      assert.equal("the server redirects to another address, which is not followed with the token",
        submit_to({ status = 302 }).message)
    end)

    it("takes a 5xx as uncertain", function()
      for _, status in ipairs { 500, 502, 503, 504 } do
        local outcome, seen = submit_to { status = status, body = '{"errors":[{"message":"Oops"}]}' }
        assert.equal("uncertain", outcome.outcome)
        assert.equal(status, outcome.status)
        assert.equal("Oops", outcome.message)
        assert.equal(1, #seen)
      end
    end)

    it("takes a success without an execution in it as uncertain", function()
      for body, message in pairs {
        [""] = "the text ends too early at byte 1",
        ["<html></html>"] = "expected a value at byte 1",
        ['{"id":7,"status":"INPRO'] = "status: the text ends too early at byte 24",
        ["[]"] = "it has no id",
        ["7"] = "it has no id",
        ['{"id":"7"}'] = "it has no id",
        ['{"id":7.5}'] = "it has no id",
        ['{"id":18446744073709551616}'] = "id: integer beyond 64 bits at byte 7",
      } do
        local outcome = submit_to { body = body }
        assert.equal("uncertain", outcome.outcome)
        assert.equal("json", outcome.code)
        assert.equal("the answer is not an execution: " .. message, outcome.message)
        assert.is_nil(outcome.execution)
      end
    end)

    it("takes an answer that does not come in time as uncertain", function()
      local outcome, seen = submit_to(function()
        task.sleep(30)
      end, { timeout = 0.3 })
      assert.equal("uncertain", outcome.outcome)
      assert.equal("timeout", outcome.code)
      assert.is_string(outcome.message)
      assert.is_nil(outcome.status)
      assert.equal(1, #seen)
    end)

    it("takes a server that is not there as unsent", function()
      local served = assert(server.listen({}, function() return {} end))
      local url = ("http://127.0.0.1:%d/"):format(served.port)
      served:close()
      local outcome = execution.submit(execution.request {}, { url = url })
      assert.equal("unsent", outcome.outcome)
      assert.equal("connect", outcome.code)
      assert.is_string(outcome.message)
    end)

    it("raises on misuse", function()
      local request = execution.request {}
      assert.has_error(function() execution.submit({}, { url = "http://127.0.0.1:1" }) end)
      assert.has_error(function() execution.submit(request) end)
      assert.has_error(function() execution.submit(request, {}) end)
      assert.has_error(function() execution.submit(request, { url = "http://user:pass@127.0.0.1:1/" }) end)
      assert.has_error(function() execution.submit(request, { url = "http://127.0.0.1:1/", headers = "x" }) end)
      assert.has_error(function()
        execution.submit(request, { url = "http://127.0.0.1:1/", headers = { A = "x\ny" } })
      end)
    end)

    it("is not given up half way when its task is cancelled", function()
      local arrived, answer = task.event(), task.event()
      local finished = false
      local served <close> = assert(server.listen({}, function()
        arrived:notify()
        answer:wait(10)
        finished = true
        return { body = '{"id":7}' }
      end))
      local outcome
      local child = task.spawn(function()
        outcome = execution.submit(execution.request {}, { url = ("http://127.0.0.1:%d/"):format(served.port) })
        task.sleep(10)
      end)
      assert.is_true(arrived:wait(10))
      child:cancel()
      task.yield()
      assert.is_nil(outcome)
      answer:notify()
      pcall(child.join, child)
      assert.equal("cancelled", child.status)
      assert.is_true(finished)
      assert.equal("accepted", outcome.outcome)
    end)

    it("sends nothing from a task that is cancelled already, unless it is shielded", function()
      local sent = 0
      local served <close> = assert(server.listen({}, function()
        sent = sent + 1
        return { body = '{"id":7}' }
      end))
      local function submit()
        execution.submit(execution.request {}, { url = ("http://127.0.0.1:%d/"):format(served.port) })
      end
      for count, cleanup in ipairs { submit, function() task.shield(submit) end } do
        local child = task.spawn(function()
          local _ <close> = setmetatable({}, { __close = cleanup })
          task.sleep(10)
        end)
        task.yield()
        child:cancel()
        pcall(child.join, child)
        assert.equal("cancelled", child.status)
        assert.equal(count - 1, sent)
      end
    end)

    it("works below a coroutine of the recipe", function()
      local outcome = submit_to { body = '{"id":7}' }
      assert.equal("accepted", outcome.outcome)
      local served <close> = assert(server.listen({}, function() return { body = '{"id":8}' } end))
      local next_id = coroutine.wrap(function()
        for _ = 1, 3 do
          local url = ("http://127.0.0.1:%d/"):format(served.port)
          coroutine.yield(execution.submit(execution.request {}, { url = url }).execution.id)
        end
      end)
      assert.same({ 8, 8, 8 }, { next_id(), next_id(), next_id() })
    end)
  end)
end)
