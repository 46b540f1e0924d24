local budget = require "moonsail.client.budget"
local moonsail = require "spec.support.moonsail"
local process = require "host.process"
local task = require "host.task"

describe("the rate budget", function()
  local clock, folder

  before_each(function()
    folder = moonsail.folder()
    clock = task.simulate()
  end)

  after_each(function()
    clock:close()
    local _ <close> = folder
  end)

  local function open(token)
    local notes = {}
    return budget.new { token = token or "token", folder = folder.path, backoff = 1, note = function(text)
      notes[#notes + 1] = text
    end }, notes
  end

  --- An answer that says what is left, and when that renews.
  local function answer(limit, remaining, seconds, more)
    local headers = { ["x-rate-limit-limit"] = tostring(limit), ["x-rate-limit-remaining"] = tostring(remaining),
      ["x-rate-limit-reset"] = tostring(task.now() + seconds) }
    for name, value in pairs(more or {}) do headers[name] = value end
    return { status = 200, headers = headers }
  end

  --- Seconds that `count` requests take, one after another.
  local function seconds_for(b, kind, count)
    local begun = task.monotonic()
    for _ = 1, count or 1 do b:take(kind) end
    return task.monotonic() - begun
  end

  it("lets everything go while the server says nothing", function()
    local b = open()
    b:learn { status = 200, headers = {} }
    for _, kind in ipairs { "write", "read", "poll" } do assert.equal(0, seconds_for(b, kind, 1000)) end
  end)

  it("keeps a part for reads from polls, and for writes from both", function()
    local b = open()
    b:take "read"
    b:learn(answer(100, 10, 60))
    assert.is_true(seconds_for(b, "poll") > 55)
    b:learn(answer(100, 2, 60))
    assert.is_true(seconds_for(b, "read") > 55)
    b:learn(answer(100, 2, 60))
    assert.equal(0, seconds_for(b, "write", 2))
    local wait = seconds_for(b, "write")
    assert.is_true(wait >= 60 and wait < 60.1)
  end)

  it("renews: writes go first, then reads, then polls", function()
    local b = open()
    b:take "read"
    b:learn(answer(100, 0, 60))
    local order = {}
    task.map({ "poll", "read", "write" }, {}, function(kind)
      b:take(kind)
      order[#order + 1] = kind
    end)
    assert.same({ "write", "read", "poll" }, order)
  end)

  it("spreads polls over the time until it renews once half is gone", function()
    local b = open()
    b:take "poll"
    b:learn(answer(100, 40, 60))
    local wait = seconds_for(b, "poll", 30)
    assert.is_true(wait > 50 and wait < 60, tostring(wait))
    b:learn(answer(100, 90, 60))
    assert.equal(0, seconds_for(b, "poll", 10))
  end)

  it("counts the least of answers that overtake each other", function()
    local b = open()
    local reset = task.now() + 60
    local function say(remaining)
      b:learn { status = 200, headers = { ["x-rate-limit-limit"] = "10",
        ["x-rate-limit-remaining"] = tostring(remaining), ["x-rate-limit-reset"] = tostring(reset) } }
    end
    for _, remaining in ipairs { 1, 3 } do
      say(remaining)
      b:ask "write"
    end
    assert.equal(0, b.known.remaining)
  end)

  it("is one for all processes that have the token", function()
    local one, other, foreign = open(), open(), open "another token"
    one:take "write"
    one:learn(answer(100, 20, 60))
    one:take "write" -- tells the others
    local granted = 0
    for _, b in ipairs { one, other } do
      task.timeout(20, function()
        while true do
          b:take "write"
          granted = granted + 1
        end
      end)
    end
    assert.is_true(granted <= 19, tostring(granted))
    assert.equal(0, seconds_for(foreign, "write", 100))
  end)

  it("waits as long as a refusal says, all processes do", function()
    local one, other, third = open(), open(), open()
    one:refused { status = 429, headers = { ["retry-after"] = "30" } }
    for _, b in ipairs { one, other } do
      local wait = seconds_for(b, "write")
      assert.is_true(b == one and wait >= 30 and wait < 30.1 or b == other and wait == 0, tostring(wait))
    end
    other:refused(answer(100, 0, 40))
    assert.is_true(seconds_for(third, "write") > 39)
  end)

  it("learns of another one's refusal within a second, though it has a share", function()
    local one, other = open(), open()
    one:take "write"
    other:refused { status = 429, headers = { ["retry-after"] = "30" } }
    task.sleep(1)
    local wait = seconds_for(one, "write")
    assert.is_true(wait >= 29 and wait < 29.1, tostring(wait))
  end)

  it("gives back what it has not used of its share", function()
    local one, other = open(), open()
    one:take "write"
    one:learn(answer(1000, 900, 60))
    task.sleep(1)
    for _ = 1, 20 do
      one:take "write"
      task.sleep(1)
    end
    other:take "write"
    assert.is_true(other.known.remaining >= 860, tostring(other.known.remaining))
  end)

  it("waits ever longer when a refusal says nothing", function()
    local b, waits = open(), {}
    for i = 1, 4 do
      b:refused { status = 429, headers = {} }
      waits[i] = seconds_for(b, "write")
    end
    assert.is_true(waits[1] > 1 and waits[1] < 3 and waits[4] > 12 and waits[4] < 21, table.concat(waits, " "))
    b:learn { status = 200, headers = {} }
    b:refused { status = 429, headers = {} }
    assert.is_true(seconds_for(b, "write") < 3)
  end)

  it("says that it waits, when that is long", function()
    local b, notes = open()
    b:refused { status = 429, headers = { ["retry-after"] = "30" } }
    b:take "read"
    assert.same({ "the API's rate limit is nearly used up; waiting 30 s" }, notes)
  end)

  it("goes by the server's clock when ours is wrong", function()
    local b = open()
    local response = answer(100, 0, 3630) -- by a clock that is an hour ahead
    response.headers.date = os.date("!%a, %d %b %Y %H:%M:%S GMT", math.floor(task.now() + 3600))
    b:refused(response)
    local wait = seconds_for(b, "write")
    assert.is_true(wait >= 29 and wait < 31, tostring(wait))
  end)

  it("is not confused by what is in the file, or when there is none", function()
    for _, text in ipairs { "", "nonsense", "moonsail 1 1 1 9999999999.0 9999999999.0 9999999999.0\n" } do
      local b = open()
      b.file:update(function() return text end)
      assert.equal(0, seconds_for(b, "poll", 100))
    end
    local alone = budget.new { token = "t", folder = "/nowhere", backoff = 1, note = function() end }
    assert.equal(0, seconds_for(alone, "poll", 100))
    alone:refused { status = 429, headers = { ["retry-after"] = "5" } }
    assert.is_true(seconds_for(alone, "write") >= 5)
  end)

  it("does not show the token in the folder", function()
    open "a-secret-token":take "read"
    clock:close()
    local found = assert(process.run { command = { "grep", "-rc", "a-secret-token", folder.path } }).stdout
    assert.is_nil(found:match ":[1-9]")
    assert.is_nil(assert(process.run { command = { "ls", folder.path } }).stdout:find("secret", 1, true))
  end)
end)
