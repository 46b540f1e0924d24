local isolation = require "moonsail.engine.isolation"
local repository = require "spec.support.repository"
local support = require "spec.support.engine"

local BUDDY = [==[
- pipeline: setup
  actions:
  - action: Build
    type: BUILD
    setup_commands: ["echo installing"]
    execute_commands: ["echo building"]
- pipeline: broken
  actions:
  - action: Build
    type: BUILD
    setup_commands: ["echo installing", "[ -e ~/works ]"]
    execute_commands: ["echo building"]
- pipeline: exports
  variables:
  - { key: LEVEL, value: low, settable: true }
  - { key: FIXED, value: "1" }
  actions:
  - action: First
    type: BUILD
    ignore_errors: EXIT
    shell: SHELL
    execute_commands:
    - LOCAL=hidden
    - export LEVEL=high OUTPUT_LINES="$(printf 'one\ntwo=2')" OUTPUT_EMPTY=
    - FIXED=2; printf '\0999\0OUTPUT_FAKE=1\0'
    - ENDING
  - action: Second
    type: BUILD
    execute_commands:
    - echo "$LEVEL/$FIXED/$LOCAL/$OUTPUT_FAKE/$OUTPUT_LINES/${OUTPUT_EMPTY-unset}"
- pipeline: takes
  actions:
  - action: First
    type: BUILD
    execute_commands: ["exec 7>taken", "export OUTPUT_X=1"]
  - action: Second
    type: BUILD
    execute_commands: ["wc -c < taken"]
- pipeline: climbs
  actions:
  - action: Build
    type: BUILD
    working_directory: "$WHERE"
    execute_commands: ["pwd"]
- pipeline: linked
  actions:
  - action: Build
    type: BUILD
    execute_commands: ["ln -sfn /etc link"]
  - action: Inside
    type: BUILD
    working_directory: link
    execute_commands: ["pwd"]
- pipeline: native
  actions:
  - action: Build
    type: NATIVE_BUILD_LINUX
    distribution: UBUNTU_22_04
    shell: BASH
    working_directory: sub
    commands: ["[[ $PWD == */sub ]]", "export OUTPUT_SEEN=yes"]
  - action: After
    type: BUILD
    execute_commands: ["echo seen $OUTPUT_SEEN"]
- pipeline: cached
  always_from_scratch: true
  actions:
  - action: Build
    type: BUILD
    cached_dirs: [modules, /srv/cache/tool]
    execute_commands:
    - ls modules /srv/cache/tool 2>/dev/null | grep -c made || true
    - mkdir -p modules && touch modules/made
    - "! [ -w /srv/cache/tool ] || touch /srv/cache/tool/made"
- pipeline: clear
  actions:
  - action: Build
    type: BUILD
    setup_commands: ["echo installing"]
    cached_dirs: [/var/cache/thing]
    execute_commands: ["ls /var/cache/thing made 2>/dev/null; touch made; touch /var/cache/thing/cached || true"]
  - action: Clear
    type: CLEAR_CACHE
    cache_types: [DOCKER, FILE_SYSTEM, SERVICES, ADDITIONAL]
  - action: After
    type: BUILD
    execute_commands: ["ls"]
]==]

local function definition(shell, ending)
  local text = BUDDY:gsub("SHELL", shell):gsub("ENDING", ending)
  return (text:gsub("EXIT", ending == "true" and "false" or "true"))
end

local function isolated_here()
  local folder <close> = repository.folder()
  return isolation.open { state = folder.path, mode = "auto" }.active
end

-- Twice: isolated where that works, and without.
for _, mode in ipairs { "auto", "off" } do
  describe("BUILD, isolation " .. mode, function()
    local repo, e

    setup(function()
      repo = repository.new()
      repo:commit { ["buddy.yml"] = definition("SH", "true"), ["sub/x"] = "x" }
      for _, shell in ipairs { "SH", "BASH" } do
        for _, ending in ipairs { "exit 3", "set -e; (exit 3)", "(exit 3)" } do
          local branch = (shell .. ending):gsub("%W", "")
          repo:commit({ ["buddy.yml"] = definition(shell, ending) },
            { branch = branch, from = repo:tip "refs/heads/main" })
        end
      end
      e = support.start(repo, { isolation = mode })
    end)
    teardown(function()
      e:close()
      repo:close()
    end)

    local function lines(pipeline, action, fields)
      local done = e:finished(e:run(pipeline, fields))
      return table.concat(e:log(done, action), "\n", 2), done.status
    end

    it("runs setup commands on the first run of the cache", function()
      assert.matches("installing\n.*building", (lines("setup", "Build")))
      assert.is_nil(lines("setup", "Build"):find "installing")
      assert.matches("installing\n.*building", (lines("setup", "Build", { clear_cache = true })))
      assert.is_nil(lines("setup", "Build"):find "installing")
    end)

    it("runs setup commands again until they succeed", function()
      for _ = 1, 2 do
        local log, status = lines("broken", "Build")
        assert.equal("FAILED", status)
        assert.matches("installing", log)
        assert.is_nil(log:find "building")
      end
      assert(io.open(e.state .. "/home/works", "w")):close()
      assert.matches("installing\n.*building", (lines("broken", "Build")))
      assert.is_nil(lines("broken", "Build"):find "installing")
    end)

    it("hands on what the shell exports, however it ends", function()
      local expected = "\nhigh/1///one\ntwo=2/\n"
      assert.equal(expected, lines("exports", "Second"):match "\nhigh.*/\n")
      for _, shell in ipairs { "SH", "BASH" } do
        for _, ending in ipairs { "exit 3", "set -e; (exit 3)", "(exit 3)" } do
          local branch = (shell .. ending):gsub("%W", "")
          local seen = lines("exports", "Second", { branch = { name = branch } })
          assert.equal(expected, seen:match "\nhigh.*/\n", branch .. ": " .. seen)
        end
      end
    end)

    it("reports nothing into a file of the commands", function()
      local log, status = lines("takes", "Second")
      assert.equal("SUCCESSFUL", status)
      assert.matches("\n0\n", log)
    end)

    it("stays in the checkout", function()
      for _, where in ipairs { "..", "sub/../..", "missing" } do
        local log, status = lines("climbs", "Build", { variables = { { key = "WHERE", value = where } } })
        assert.equal("FAILED", status)
        assert.is_nil(log:find "Executing command")
      end
      assert.matches("/sub\n", (lines("climbs", "Build", { variables = { { key = "WHERE", value = "sub" } } })))
      local log, status = lines("linked", "Inside")
      assert.equal("FAILED", status)
      assert.matches("The working directory link leads out of the checkout", log)
    end)

    it("is NATIVE_BUILD_LINUX, too", function()
      local done = e:finished(e:run "native")
      assert.equal("SUCCESSFUL", done.status)
      assert.equal(e:place "UBUNTU_22_04", e:log(done, "Build")[1])
      assert.equal("seen yes", e:log(done, "After")[3])
    end)

    it("keeps cached folders, those outside of the checkout only if it is isolated", function()
      lines("cached", "Build")
      local log = lines("cached", "Build")
      if mode == "auto" and isolated_here() then
        assert.matches("\n2\n", log)
        assert.matches("\n0\n", (lines("cached", "Build", { clear_cache = true })))
      else
        assert.matches("^/srv/cache/tool is not cached: that needs bubblewrap\n", log)
        assert.matches("\n0\n", log)
      end
    end)

    it("forgets by CLEAR_CACHE", function()
      for _ = 1, 2 do
        local done = e:finished(e:run "clear")
        assert.equal("SUCCESSFUL", done.status)
        local log = table.concat(e:log(done, "Build"), "\n")
        assert.matches("installing", log)
        assert.is_nil(log:find "\nmade" or log:find "\ncached")
        assert.matches("\nbuddy.yml\nsub\n", table.concat(e:log(done, "After"), "\n"))
      end
    end)
  end)
end

describe("BUILD", function()
  local definitions = require "moonsail.engine.definition"

  local function fault(key, value)
    local text = repository.pipeline { name = "b", commands = { "true" }, action = ("    %s: %s\n"):format(key, value) }
    local pipelines, faults = definitions.read { { name = "buddy.yml", text = text } }
    return not pipelines and faults[1] or nil
  end

  it("refuses what it cannot do, by name", function()
    for key, value in pairs { shell = "POWERSHELL", working_directory = "../x", services = "[]", run_as_user = "me",
      volume_mappings = "['/a:/b']", cached_dirs = "[/usr/lib/x]" } do
      assert.matches("%.actions%[1%]%." .. key, (fault(key, value)), key)
    end
    assert.is_nil(fault("cached_dirs", "[/srv/m2, node_modules]"))
    assert.matches("must not contain", (fault("cached_dirs", "[/srv/../etc]")))
  end)
end)
