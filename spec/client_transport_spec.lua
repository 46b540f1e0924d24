local buddy = require "spec.support.buddy"
local execution = require "host.execution"
local raised = buddy.raised
local moonsail = require "spec.support.moonsail"
local server = require "host.server"
local session = require "moonsail.client.session"
local task = require "host.task"

describe("the transport", function()
  --- A transport to a server that answers "GET /x" and "POST /x" with `route`.
  local function open(route, options)
    local api = buddy.serve { ["GET /x"] = route, ["POST /x"] = route }
    finally(function() api.server:close() end)
    return api:session(options):transport(), api
  end

  local function reporter()
    local notes = {}
    return { note = function(_, message) notes[#notes + 1] = message end }, notes
  end

  describe("reading", function()
    it("decodes the answer", function()
      local transport = open { id = 3, list = { 1, 2 } }
      assert.same({ id = 3, list = { 1, 2 } }, transport.get "/x")
    end)

    it("sends the token, and asks for JSON", function()
      local transport, api = open { id = 3 }
      transport.get "/x"
      local headers = api.requests[1].headers
      assert.equal("Bearer " .. buddy.TOKEN, headers.authorization)
      assert.equal("application/json", headers.accept)
    end)

    it("puts a path behind the path of the endpoint", function()
      local api <close> = buddy.serve { ["GET /api/v1/x"] = { id = 7 } }
      assert.equal(7, api:session({ settings = { endpoint = api.url .. "/api/v1/" } }):transport().get("/x").id)
    end)

    it("tries again while the server fails, and tells of it", function()
      local progress, notes = reporter()
      local transport, api = open(function(_, count)
        return count < 3 and buddy.failure(503, "busy") or { id = 3 }
      end, { progress = progress })
      assert.equal(3, transport.get("/x").id)
      assert.equal(3, #api.requests)
      assert.equal("the API failed (503): busy; trying again", notes[1])
    end)

    it("tries five times, and no more", function()
      local transport, api = open(buddy.failure(500, "broken"))
      local err = raised(transport.get, "/x")
      assert.same({ "api", 500, "the API failed (500): broken" }, { err.kind, err.status, err.message })
      assert.equal(5, #api.requests)
    end)

    it("waits when the rate limit is used up, in either form that the API has for it", function()
      for _, limited in ipairs { buddy.failure(429, "Slow down"), buddy.failure(403, "Rate limit exceeded.") } do
        local transport = open(function(_, count) return count == 1 and limited or { id = 3 } end)
        assert.equal(3, transport.get("/x").id)
      end
    end)

    it("does not wait for ever for the rate limit", function()
      local transport = open(buddy.failure(429, "Slow down"))
      local err = raised(transport.get, "/x", { tries = 1 })
      assert.same({ "api", "the API's rate limit is used up" }, { err.kind, err.message })
    end)

    it("waits until the quota renews, when the server says when", function()
      local transport = open(function(_, count)
        if count > 1 then return { id = 3 } end
        return buddy.answer(429, "{}", { ["x-rate-limit-reset"] = tostring(math.floor(task.now()) + 1) })
      end)
      local begun = task.now()
      transport.get "/x"
      assert.is_true(math.floor(task.now()) >= math.floor(begun) + 1)
    end)

    it("reads the token again from its source when it has expired", function()
      local folder <close> = moonsail.folder()
      local path = folder.path .. "/moonsail/config.lua"
      assert(os.execute(("mkdir -p '%s/moonsail'"):format(folder.path)))
      local api <close> = buddy.serve { ["GET /x"] = function(request)
        if request.headers.authorization == "Bearer fresh" then return { id = 3 } end
        moonsail.write(path, 'return { token = "fresh" }')
        return buddy.failure(401, "expired")
      end }
      moonsail.write(path, 'return { token = "stale" }')
      local transport = session.new({
        settings = { endpoint = api.url, workspace = "acme" },
        getenv = function(name) return name == "XDG_CONFIG_HOME" and folder.path or nil end,
      }):transport()
      local read = task.map({ 1, 2, 3 }, {}, function() return transport.get("/x").id end)
      assert.same({ 3, 3, 3 }, { table.unpack(read) })
      assert.is_true(#api.requests <= 6)
    end)

    it("does not ask again with the token that was refused", function()
      local transport, api = open(buddy.failure(401, "no"))
      assert.equal(401, raised(transport.get, "/x").status)
      assert.equal(1, #api.requests)
    end)

    it("does not try again what was refused", function()
      local transport, api = open(buddy.failure(404, "No such thing"))
      local err = raised(transport.get, "/x")
      assert.same({ "api", 404, "the API refused (404): No such thing" }, { err.kind, err.status, err.message })
      assert.equal(("The request was GET %s/x."):format(api.url), err.hint)
      assert.equal(1, #api.requests)
    end)
  end)

  describe("a refusal", function()
    it("of the token says where the token came from", function()
      local transport = open(buddy.failure(401, "Unauthorized"))
      assert.matches("The token from the command line is wrong", raised(transport.get, "/x").hint, 1, true)
    end)

    it("for a missing scope names it, and those that the token has", function()
      local transport = open(buddy.answer(403, "{}", { ["x-oauth-scopes"] = "WORKSPACE" }))
      assert.equal("The token needs the scope EXECUTION_INFO, and it has: WORKSPACE.",
        raised(transport.get, "/x").hint)
      assert.equal("The token needs the scope EXECUTION_RUN, and it has: WORKSPACE.",
        raised(transport.write, "POST", "/x", {}).hint)
    end)

    it("does not ask for a scope that the token has", function()
      local transport = open(buddy.answer(403, "{}", { ["x-oauth-scopes"] = "WORKSPACE, EXECUTION_INFO" }))
      assert.matches("^The token has the scope for it", raised(transport.get, "/x").hint)
    end)

    it("gives all of the API's messages", function()
      local transport = open(buddy.answer(400, { errors = { { message = "one" }, { message = "two" } } }))
      assert.equal("the API refused (400): one; two", raised(transport.get, "/x").message)
    end)

    it("keeps the terminal safe from what the server writes", function()
      local transport = open(buddy.failure(400, "a\27[2Jb\nc" .. ("ä"):rep(1000)))
      local message = raised(transport.get, "/x").message
      assert.not_matches("%c", message)
      assert.is_true(#message < 600)
      assert.is_truthy(utf8.len(message))
    end)

    it("without words is a refusal all the same", function()
      for _, body in ipairs {
        "", "null", "[]", "{}", '{"errors":3}', '{"errors":[null,{"message":null}]}', "<html>",
      } do
        local transport = open(buddy.answer(400, body))
        assert.matches("^the API refused %(400%): with", raised(transport.get, "/x").message)
      end
    end)
  end)

  describe("an answer that is not Buddy's", function()
    local function fault(route)
      local transport = open(route)
      return raised(transport.get, "/x", { tries = 1 })
    end

    it("is a page of HTML", function()
      local err = fault(buddy.answer(200, "\n<!DOCTYPE html><html></html>"))
      assert.equal("api", err.kind)
      assert.matches("answered with HTML, not JSON", err.message, 1, true)
      assert.matches("BUDDY_API_ENDPOINT", err.hint, 1, true)
    end)

    it("is JSON that was cut short", function()
      local err = fault(buddy.answer(200, '{"id":3,"name":"bui'))
      assert.same({ "api", 200 }, { err.kind, err.status })
      assert.matches("cannot be read", err.message, 1, true)
    end)

    it("is JSON of another kind", function()
      for _, body in ipairs { "3", '"text"', "null", "true", "" } do
        assert.equal("api", fault(buddy.answer(200, body)).kind)
      end
    end)

    it("is larger than any answer", function()
      local err = fault(function() return buddy.answer(200, (" "):rep(65 * 1024 * 1024)) end)
      assert.same({ "network", "too_large" }, { err.kind, err.code })
      assert.is_nil(err.transient)
    end)

    it("never comes", function()
      local api = buddy.serve { ["GET /x"] = function() task.sleep(60) end }
      finally(function() api.server:close() end)
      local transport = api:session({ timing = { request = 0.05 } }):transport()
      local err = raised(transport.get, "/x", { tries = 2 })
      assert.same({ "network", "timeout" }, { err.kind, err.code })
    end)

    it("is no answer at all", function()
      local gone = assert(server.listen({}, function() end))
      gone:close()
      local api <close> = buddy.serve {}
      local endpoint = "http://127.0.0.1:" .. gone.port
      local err = raised(api:session({ settings = { endpoint = endpoint } }):transport().get, "/x")
      assert.same({ "network", "connect" }, { err.kind, err.code })
    end)
  end)

  describe("a redirect", function()
    it("is not followed with the token, and says where it would have led", function()
      local elsewhere <close> = buddy.serve { ["GET /x"] = { id = 1 }, ["POST /x"] = { id = 1 } }
      local transport, api = open(buddy.answer(302, "", { location = elsewhere.url .. "/x" }))
      local err = raised(transport.get, "/x")
      assert.same({ "api", 302 }, { err.kind, err.status })
      assert.matches("redirects to " .. elsewhere.url .. "/x", err.message, 1, true)
      raised(transport.write, "POST", "/x", {})
      assert.same({ 0, 2 }, { #elsewhere.requests, #api.requests })
    end)
  end)

  describe("writing", function()
    it("sends JSON", function()
      local transport, api = open { id = 3 }
      assert.equal(3, transport.write("POST", "/x", { operation = "CANCEL" }).id)
      assert.same({ operation = "CANCEL" }, api:sent())
      assert.equal("application/json", api.requests[1].headers["content-type"])
    end)

    it("is never tried again, and may have taken effect when the server failed", function()
      for _, answer in ipairs {
        buddy.failure(500, "broken"), buddy.answer(200, "<html>"), buddy.failure(502, "gone"),
      } do
        local transport, api = open(answer)
        assert.equal("uncertain", raised(transport.write, "POST", "/x", {}).kind)
        assert.equal(1, #api.requests)
      end
    end)

    it("waits when it was refused for coming too often, which had no effect", function()
      local route = function(_, count) return count == 1 and buddy.failure(429, "Slow down") or { id = 3 } end
      local transport, api = open(route)
      assert.equal(3, transport.write("POST", "/x", {}).id)
      assert.equal(2, #api.requests)
      transport, api = open(route)
      local request = assert(execution.request { branch = "main" })
      assert.equal("accepted", transport.submit("/x", request).outcome)
      assert.equal(2, #api.requests)
      transport, api = open(buddy.failure(429, "Slow down"))
      assert.equal("refused", transport.submit("/x", request).outcome)
      assert.equal(5, #api.requests)
    end)

    it("surely had no effect when nobody listened", function()
      local gone = assert(server.listen({}, function() end))
      gone:close()
      local api <close> = buddy.serve {}
      local transport = api:session({ settings = { endpoint = "http://127.0.0.1:" .. gone.port } }):transport()
      assert.equal("network", raised(transport.write, "POST", "/x", {}).kind)
    end)

    it("is refused by the API's own 4xx", function()
      local transport = open(buddy.failure(400, "No"))
      assert.equal("api", raised(transport.write, "POST", "/x", {}).kind)
    end)
  end)
end)
