local process = require "host.process"
local repository = require "spec.support.repository"
local support = require "spec.support.engine"

local BUDDY = [==[
- pipeline: export
  variables:
  - { key: COUNT, value: "0", settable: true }
  - { key: FIXED, value: before }
  - { key: PASS, value: first-secret, settable: true, encrypted: true }
  actions:
  - action: Write
    type: BUILD
    execute_commands:
    - export COUNT=$((COUNT + 1)) FIXED=after OTHER=x OUTPUT_URL="https://a.example/$BUDDY_RUN_ID"
    - export PASS=second-$(echo secret)
  - action: Read
    type: BUILD
    execute_commands:
    - echo "$COUNT $FIXED [$OTHER] $OUTPUT_URL"
    - echo "PASS is $PASS, of ${#PASS} bytes"
]==]

local function said(log, pattern)
  for _, line in ipairs(log) do
    if line:find(pattern) and not line:find "^Executing" then return line end
  end
end

describe("engine, variables that an action exports", function()
  it("are there for later actions and later executions as far as they may be changed", function()
    local repo <close> = repository.new()
    local folder <close> = repository.folder()
    repo:commit { ["buddy.yml"] = BUDDY }
    do
      local e <close> = support.start(repo, { state = folder.path })
      local done = e:finished(e:run "export")
      assert.equal("1 before [] https://a.example/1", said(e:log(done, "Read"), "https"))
      assert.equal("PASS is ••••, of 13 bytes", said(e:log(done, "Read"), "^PASS"))
      done = e:finished(e:run "export")
      assert.equal("2 before [] https://a.example/2", said(e:log(done, "Read"), "https"))
    end
    local again <close> = support.start(repo, { state = folder.path })
    local done = again:finished(again:run "export")
    assert.equal("3 before [] https://a.example/3", said(again:log(done, "Read"), "https"))
    local found = process.run { command = { "sh", "-c", "cat engine.db* | grep -c second-secret" },
      directory = folder.path }
    assert.equal("0\n", found.stdout)
  end)
end)
