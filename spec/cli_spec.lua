local moonsail = require "spec.support.moonsail"
local process = require "host.process"

describe("moonsail", function()
  local folder

  setup(function() folder = moonsail.folder() end)
  teardown(function() getmetatable(folder).__close(folder) end)

  local function run(arguments, options)
    return moonsail.run(folder.path, arguments, options)
  end

  local function check(expected, arguments, options)
    local result = run(arguments, options)
    assert.same(expected, { result.code, result.stdout, result.stderr })
  end

  describe("without a command", function()
    it("shows how it is used, and says so with the exit code", function()
      local result = run {}
      assert.equal(2, result.code)
      assert.matches("^usage: moonsail COMMAND", result.stdout)
      assert.equal(0, run({ "--help" }).code)
    end)

    it("names a command that does not exist", function()
      check({ 2, "", 'moonsail: there is no command "runn"\n  see: moonsail --help\n' }, { "runn" })
    end)
  end)

  it("prints its version", function()
    check({ 0, "moonsail 0.1.0\n", "" }, { "version" })
    check({ 0, "moonsail 0.1.0\n", "" }, { "--version" })
  end)

  describe("eval", function()
    it("prints what the words return", function()
      check({ 0, "42\ttrue\tnil\n", "" }, { "eval", "return 6 * 7, true, nil" })
      check({ 0, "", "" }, { "eval", "local x = 1" })
    end)

    it("prints tables as JSON", function()
      check({ 0, '{\n  "a": [\n    1,\n    2\n  ]\n}\n', "" }, { "eval", "return { a = { 1, 2 } }" })
    end)

    it("tells of words that do not parse, or raise", function()
      check({ 2, "", "moonsail: the words do not parse: eval:1: unexpected symbol near '+'\n" ..
        "  See: moonsail eval --help\n" }, { "eval", "return +" })
      local result = run { "eval", "local t = nil; return t.x" }
      assert.equal(1, result.code)
      assert.matches("^moonsail: eval:1: attempt to index a nil value %(local 't'%)\n", result.stderr)
    end)

    it("loads nothing but what the words use", function()
      local result = run { "eval", "local n = 0 for name in pairs(package.loaded) do " ..
        "if name:find '^moonsail' then n = n + 1 end end return n" }
      assert.equal("2\n", result.stdout) -- the command line itself and eval
    end)
  end)

  it("does not look for modules in the current directory", function()
    moonsail.write(folder.path .. "/argparse.lua", "error 'taken from the current directory'")
    assert.equal(0, run({ "engine", "--help" }).code)
  end)

  it("refuses names for the engine that no URL can hold", function()
    check({ 2, "", "moonsail: --workspace a/b cannot stand in a URL\n  Use letters, digits, - and _.\n" },
      { "engine", "--workspace", "a/b" })
  end)

  describe("with its standard streams", function()
    -- What a shell makes of the command line.
    local function shell(line)
      local script = line:gsub("moonsail", "'" .. moonsail.path .. "'")
      return assert(process.run { command = { "sh", "-c", script } })
    end

    it("runs when they are closed", function()
      local result = shell "moonsail eval 'return 1' 0<&- 2>&-"
      assert.same({ 0, "1\n" }, { result.code, result.stdout })
      assert.equal(0, shell("moonsail eval 'return 1' 0<&- 1>&- 2>&-").code)
    end)

    it("does not lose output in silence", function()
      local recipe = folder.path .. "/prints.lua"
      moonsail.write(recipe, "print 'a'")
      for _, line in ipairs { "eval 'return 1'", "version", "run " .. recipe } do
        local result = shell(("moonsail %s >/dev/full"):format(line))
        assert.same({ line, 1 }, { line, result.code })
        assert.matches("^moonsail: standard output could not be written", result.stderr)
      end
    end)

    it("does not mind a reader who has seen enough", function()
      local result = shell "{ moonsail eval 'for i = 1, 1e5 do print(i) end'; echo $? >&2; } | head -n 1"
      assert.same({ "1\n", "0\n" }, { result.stdout, result.stderr })
    end)
  end)

  describe("run", function()
    local function recipe(text)
      moonsail.write(folder.path .. "/recipe.lua", text)
      return "recipe.lua"
    end

    it("needs a recipe that exists and parses", function()
      check({ 2, "", "moonsail: no recipe is given\n  See: moonsail run --help\n" }, { "run" })
      check({ 2, "", "moonsail: the recipe cannot be read: none.lua: No such file or directory\n" ..
        "  Give the path of a Lua file, such as scripts/recipes/release.lua.\n" }, { "run", "none.lua" })
      check({ 2, "", "moonsail: the recipe does not parse: recipe.lua:1: syntax error near 'end'\n" ..
        "  Correct that line; nothing was sent.\n" }, { "run", recipe "do wait end" })
      assert.equal(2, run({ "run", folder.path }).code)
      check({ 0, "", "" }, { "run", recipe "" })
    end)

    it("does not read a recipe without end", function()
      check({ 2, "", "moonsail: the recipe cannot be read: /dev/zero is longer than 4194304 bytes\n" ..
        "  Give the path of a Lua file, such as scripts/recipes/release.lua.\n" }, { "run", "/dev/zero" })
    end)

    it("refuses bytecode", function()
      local bytecode = string.dump(function() end)
      local result = run { "run", recipe(bytecode) }
      assert.equal(2, result.code)
      assert.matches("attempt to load a binary chunk", result.stderr, 1, true)
    end)

    it("shows the recipe's own frames when it raises", function()
      local result = run { "run", recipe "local function inner(t)\n  local x = t.x; return x\nend\ninner()" }
      assert.equal(1, result.code)
      local lines = "^moonsail: recipe.lua:2: attempt to index a nil value %(local 't'%)\n" ..
        "  recipe.lua:2: in [^\n]*'inner'\n  recipe.lua:4: in [^\n]*\n$"
      assert.matches(lines, result.stderr)
    end)

    it("shows them also when its name is like one of ours, or long", function()
      for _, name in ipairs { "run.lua", ("long"):rep(20) .. ".lua" } do
        moonsail.write(folder.path .. "/" .. name, "local x = nil\nx.y = 1")
        local result = run { "run", name }
        assert.matches("^moonsail: [^\n]*:2: attempt to index a nil value %(local 'x'%)\n  [^\n]*:2: in [^\n]*\n$",
          result.stderr)
      end
    end)

    it("prints what the recipe prints", function()
      check({ 0, "a\t1\nb\n", "" }, { "run", recipe "print('a', 1) print 'b'" })
    end)

    it("keeps the world out of the recipe", function()
      local result = run { "run", recipe [[
        for _, name in ipairs { "io", "debug", "dofile", "loadfile", "package", "collectgarbage" } do
          assert(_G[name] == nil, name)
        end
        for _, name in ipairs { "execute", "remove", "rename", "exit", "getenv", "tmpname", "setlocale" } do
          assert(os[name] == nil, name)
        end
        assert(string.dump == nil)
        assert(getmetatable "" == "string")
        require("moonsail").json.encode = nil
        assert(not pcall(require, "host.process"))
        assert(not pcall(require, "io"))
        assert(not pcall(require, "../recipe"))
        assert(not load("\27Lua", "x", "b"))
        print "kept out"
      ]] }
      assert.same({ 0, "kept out\n", "" }, { result.code, result.stdout, result.stderr })
    end)

    it("finds modules in the recipe's folder", function()
      moonsail.write(folder.path .. "/regions.lua", "return { 'eu', 'us' }")
      check({ 0, "eu\n", "" }, { "run", recipe "print(require 'regions'[1])" })
    end)

    describe("with parameters", function()
      local declared = [[
        --- Says what it was given.
        local sail = require "moonsail"
        local args = sail.parameters {
          version = { type = "version", required = true, help = "what to ship" },
          regions = { type = "list", default = { "eu" }, help = "where" },
          dry_run = { type = "boolean", default = false },
        }
        print(args.version, table.concat(args.regions, "+"), args.dry_run)
      ]]

      it("hands them over by name, with their types", function()
        check({ 0, "1.2.0\teu+us\ttrue\n", "" },
          { "run", recipe(declared), "--version", "1.2.0", "--regions", "eu", "--regions=us", "--dry-run" })
        check({ 0, "1.2.0\teu\tfalse\n", "" }, { "run", recipe(declared), "--version=1.2.0" })
      end)

      it("lists them with --help, and does not run the recipe", function()
        local result = run { "run", recipe(declared .. "\nerror 'it ran'"), "--help" }
        assert.equal(0, result.code)
        assert.equal("", result.stderr)
        assert.matches("usage: moonsail run recipe.lua [--NAME VALUE...]", result.stdout, 1, true)
        assert.matches("--version VERSION +what to ship %(required%)", result.stdout)
        assert.matches("--regions LIST +where %(default eu%)", result.stdout)
      end)

      it("performs no effect of a recipe that is only asked for help", function()
        local result = run { "run", recipe "require('moonsail').run { 'touch', 'touched' }", "--help" }
        assert.equal(0, result.code)
        assert.matches("It takes no parameters.", result.stdout, 1, true)
        assert.is_nil(io.open(folder.path .. "/touched"))
      end)

      it("refuses those that the recipe does not know, before anything happens", function()
        local result = run { "run", recipe(declared), "--version", "1.2.0", "--region", "eu" }
        assert.equal(2, result.code)
        assert.matches("region", result.stderr)
        assert.matches("regions", result.stderr)
        assert.matches("^moonsail: a parameter is wrong\n", result.stderr) -- the recipe's line is not to blame
        result = run { "run", recipe "require('moonsail').run { 'touch', 'touched' }", "--version", "1" }
        assert.same({ 2, "moonsail: the recipe takes no parameters, but was given --version\n" ..
          "  A recipe names them with sail.parameters, before it does anything else.\n" },
          { result.code, result.stderr })
        assert.is_nil(io.open(folder.path .. "/touched"))
      end)
    end)

    it("refuses its own options when they are wrong", function()
      check({ 2, "", "moonsail: project in the command line is empty\n  Give it a value, or leave it out.\n" },
        { "run", "--project=", recipe "require('moonsail').project():pipelines()" })
      check({ 2, "", "moonsail: unknown option '--projekt'\n" ..
        "  Did you mean '--project'? See: moonsail run --help\n" }, { "run", "--projekt", "x", "recipe.lua" })
      check({ 2, "", "moonsail: option '--project' requires an argument\n  See: moonsail run --help\n" },
        { "run", "--project" })
    end)
  end)

  it("ends with 130 and says nothing false when it is interrupted", function()
    local child <close> = assert(process.spawn {
      command = { moonsail.path, "eval", "print 'ready' io.stdout:flush() require('host.task').sleep(1e6)" },
    })
    assert.matches("ready", child:read())
    child:kill "SIGINT"
    assert.same({ code = 130 }, child:wait())
  end)
end)
