local moonsail = require "spec.support.moonsail"
local raised = require("spec.support.buddy").raised
local settings = require "moonsail.client.settings"
local url = require "moonsail.client.url"

describe("settings", function()
  local folder

  setup(function() folder = moonsail.folder() end)
  teardown(function() getmetatable(folder).__close(folder) end)

  local function configure(text)
    os.execute("mkdir -p " .. folder.path .. "/moonsail")
    moonsail.write(folder.path .. "/moonsail/config.lua", text)
  end

  before_each(function() os.remove(folder.path .. "/moonsail/config.lua") end)

  local function load(command_line, environment)
    environment = environment or {}
    environment.XDG_CONFIG_HOME = folder.path
    return settings.load { command_line = command_line, getenv = function(name) return environment[name] end }
  end

  describe("layers", function()
    local environment = { BUDDY_TOKEN = "from-env", BUDDY_WORKSPACE = "env", BUDDY_PROJECT = "env" }

    it("are nothing when nothing is set", function()
      assert.same({ sources = {} }, load())
    end)

    it("has the file as the weakest", function()
      configure 'return { token = "from-file", workspace = "file" }'
      local found = load()
      assert.same({ "from-file", "file" }, { found.token, found.workspace })
      assert.equal(folder.path .. "/moonsail/config.lua", found.sources.token)
    end)

    it("lets the environment win over the file", function()
      configure 'return { token = "from-file", workspace = "file" }'
      local found = load(nil, environment)
      assert.same({ "from-env", "env" }, { found.token, found.workspace })
      assert.equal("BUDDY_TOKEN", found.sources.token)
    end)

    it("lets the command line win over everything", function()
      local found = load({ project = "line" }, environment)
      assert.same({ "env", "line" }, { found.workspace, found.project })
    end)

    it("takes WORKSPACE/PROJECT over a workspace of a weaker layer", function()
      configure 'return { workspace = "file", project = "file" }'
      local found = load(nil, { BUDDY_PROJECT = "acme/website" })
      assert.same({ "acme", "website", "BUDDY_PROJECT" }, { found.workspace, found.project, found.sources.workspace })
      found = load({ project = "acme/website" }, environment)
      assert.same({ "acme", "website" }, { found.workspace, found.project })
      found = load({ project = "website" }, { BUDDY_PROJECT = "acme/other" })
      assert.same({ "acme", "website" }, { found.workspace, found.project })
    end)

    it("refuses two workspaces of one layer", function()
      local err = raised(load, { workspace = "acme", project = "other/website" })
      assert.same({ "usage", "workspace" }, { err.kind, err.field })
    end)

    it("takes an empty variable for one that is not set", function()
      assert.is_nil(load(nil, { BUDDY_TOKEN = "" }).token)
    end)
  end)

  describe("the endpoint", function()
    local function endpoint(text, more)
      local given = { token = "t", endpoint = text }
      for name, value in pairs(more or {}) do given[name] = value end
      return load(given).endpoint
    end

    it("is Buddy's own when there is a token and nothing else", function()
      assert.equal("https://api.buddy.works", endpoint(nil).base)
    end)

    it("may have a path, without the slash at its end", function()
      assert.equal("https://buddy.example/api", endpoint("https://buddy.example/api/").base)
    end)

    it("may be plain http on this machine only", function()
      for _, host in ipairs { "localhost", "127.0.0.1:8080", "[::1]:80" } do
        assert.is_true(endpoint("http://" .. host).loopback)
      end
      local err = raised(endpoint, "http://buddy.example")
      assert.equal("usage", err.kind)
      assert.matches("plain http", err.message, 1, true)
      assert.equal("http://buddy.example", endpoint("http://buddy.example", { allow_http = true }).base)
    end)

    it("is refused with credentials in it, which are not shown", function()
      local err = raised(endpoint, "https://me:hunter2@buddy.example/api")
      assert.equal("usage", err.kind)
      assert.matches("has credentials in it", err.message, 1, true)
      assert.not_matches("hunter2", tostring(err), 1, true)
    end)

    for _, text in ipairs {
      "buddy.example", "ftp://buddy.example", "https://", "https:///api", "https://a b", "https://x/?q=1",
      "https://x/#y", "https://x:port", "https://127.0.0.1@evil.example", "https://x/a b",
    } do
      it("is not " .. text, function()
        assert.equal("usage", raised(endpoint, text).kind)
      end)
    end

    it("needs a token", function()
      local err = raised(load, nil, { BUDDY_API_ENDPOINT = "https://buddy.example" })
      assert.equal("there is an endpoint in BUDDY_API_ENDPOINT, but no token", err.message)
      assert.matches("BUDDY_TOKEN", err.hint)
    end)
  end)

  describe("a fault", function()
    local function fault(text)
      configure(text)
      return raised(load)
    end

    it("names the file, and what is wrong in it", function()
      local path = folder.path .. "/moonsail/config.lua"
      assert.equal("token in " .. path .. " is a number\n  Expected a string.", tostring(fault "return { token = 3 }"))
      assert.equal(path .. " returns a nil", fault("").message)
      assert.matches(path .. ":1:", fault("return {").message, 1, true)
      assert.matches("nil value (global 'os')", fault("os.exit()").message, 1, true)
    end)

    it("names what a misspelt setting may have been meant to be", function()
      assert.equal("Did you mean 'workspace'?", fault('return { worksapce = "acme" }').hint)
    end)

    it("names the variable, and does not show the token", function()
      local err = raised(load, nil, { BUDDY_TOKEN = "secret\n" })
      assert.equal("token in BUDDY_TOKEN has a control character in it", err.message)
      assert.not_matches("secret", tostring(err))
    end)

    it("is a file that cannot be read", function()
      os.remove(folder.path .. "/moonsail/config.lua")
      os.execute(("mkdir -p %s/moonsail/config.lua"):format(folder.path))
      finally(function() os.execute(("rmdir %s/moonsail/config.lua"):format(folder.path)) end)
      assert.matches("cannot be read", raised(load).message, 1, true)
    end)
  end)
end)

describe("url", function()
  it(".path encodes every segment", function()
    assert.equal("/a/b%2Fc/%C3%A9/..%20/7", url.path("a", "b/c", "é", ".. ", 7))
  end)

  it(".site is where people look", function()
    assert.equal("https://app.buddy.works", url.site "https://api.buddy.works")
    assert.equal("https://eu.buddy.works", url.site "https://api.eu.buddy.works")
    assert.equal("https://buddy.example", url.site "https://buddy.example/api")
    assert.equal("http://127.0.0.1:80", url.site "http://127.0.0.1:80")
  end)
end)
