local process = require "host.process"
local repository = require "spec.support.repository"
local support = require "spec.support.engine"

-- A pipeline per behaviour: an action of the type, and one that shows what it left.
local BUDDY = [==[
- pipeline: zip
  variables: [{ key: NAME, value: package }]
  actions:
  - action: Link
    type: BUILD
    execute_commands: ["ln -sfn /etc/hostname site/link", "touch \"site/$(printf 'new\\nline')\""]
  - { action: Zip, type: ZIP, local_path: /site, destination: "out/$NAME.zip",
      deployment_excludes: [/assets/, "*.log", readme], deployment_includes: [/assets/kept] }
  - action: Show
    type: BUILD
    execute_commands: ["bsdtar -tf out/package.zip | sort", "bsdtar -xOf out/package.zip index.html"]
- pipeline: zip_all
  actions:
  - { action: Zip, type: ZIP, local_path: /, destination: all.zip, deployment_excludes: [buddy.yml] }
  - { action: Again, type: ZIP, local_path: /, destination: all.zip, deployment_excludes: [buddy.yml] }
  - { action: One, type: ZIP, local_path: site/index.html, destination: one.zip }
  - action: Show
    type: BUILD
    execute_commands: ["bsdtar -tf all.zip | sort", "bsdtar -tf one.zip"]
- pipeline: zip_missing
  actions:
  - { action: Zip, type: ZIP, local_path: /nothing, destination: x.zip }
- pipeline: copy
  actions:
  - { action: Copy, type: COPY_FILES, source_path: site, target_path: /public/www, deployment_excludes: ["*.log"] }
  - { action: One, type: COPY_FILES, source_path: site/index.html, target_path: one }
  - { action: Hidden, type: COPY_FILES, source_path: site, target_path: hidden, copy_hidden_files: true }
  - action: Show
    type: BUILD
    execute_commands: ["find public one -type f | sort", "ls -A hidden"]
- pipeline: copy_within
  actions:
  - { action: Copy, type: COPY_FILES, target_path: inner }
  - { action: Again, type: COPY_FILES, target_path: inner }
  - action: Show
    type: BUILD
    execute_commands: ["ls inner"]
- pipeline: copy_self
  actions:
  - { action: Copy, type: COPY_FILES }
- pipeline: replace
  variables: [{ key: STAGE, value: production }]
  actions:
  - action: Replace
    type: REPLACE
    local_path: /site
    replacements:
    - { replace_from: "[ENV]", replace_to: "$STAGE" }
    - { replace_from: "two\nlines", replace_to: "a.*b\\1\n" }
  - { action: One, type: REPLACE, local_path: site/readme, replacements: [{ replace_from: me, replace_to: you }] }
  - action: Show
    type: BUILD
    execute_commands: ["cat site/index.html site/readme", "stat -c %a site/run.sh", "cat site/run.sh"]
- pipeline: replace_secret
  actions:
  - { action: Replace, type: REPLACE, local_path: site/readme,
      replacements: [{ replace_from: me, replace_to: $PASSWORD }] }
  - { action: Show, type: BUILD, execute_commands: ["rev site/readme"] }
- pipeline: replace_nothing
  variables: [{ key: EMPTY, value: "" }]
  actions: [{ action: Replace, type: REPLACE, replacements: [{ replace_from: $EMPTY, replace_to: x }] }]
- pipeline: links
  actions:
  - action: Link
    type: BUILD
    execute_commands: ["rm -rf evil out deep", "ln -s ~ evil", "mkdir -p deep/in", "echo new > deep/in/file",
      "mkdir out", "ln -s ~ out/in", "echo safe > ~/file", "ln -sfn ~/file site/outside", "echo safe > ~/index.html"]
  - { action: Zip in, type: ZIP, local_path: evil, destination: x.zip, ignore_errors: true }
  - { action: Zip out, type: ZIP, local_path: site, destination: evil/x.zip, ignore_errors: true }
  - { action: Copy in, type: COPY_FILES, source_path: evil, target_path: y, ignore_errors: true }
  - { action: Copy out, type: COPY_FILES, source_path: site, target_path: evil, ignore_errors: true }
  - { action: Replace, type: REPLACE, local_path: evil, ignore_errors: true,
      replacements: [{ replace_from: safe, replace_to: bad }] }
  - { action: Copy over, type: COPY_FILES, source_path: deep, target_path: out }
  - { action: Replace all, type: REPLACE, replacements: [{ replace_from: safe, replace_to: bad }] }
  - action: Show
    type: BUILD
    execute_commands: ["cat ~/file out/in/file", "ls ~"]
]==]

local FILES = {
  ["buddy.yml"] = BUDDY,
  ["site/index.html"] = "<p>[ENV] two\nlines</p>\n",
  ["site/readme"] = "read me\n",
  ["site/debug.log"] = "log\n",
  ["site/.secret"] = "hidden\n",
  ["site/run.sh"] = "echo [ENV]\n",
  ["site/assets/kept"] = "kept\n",
  ["site/assets/other"] = "other\n",
}

for _, mode in ipairs { "auto", "off" } do
  describe("file actions, isolation " .. mode, function()
    local repo, e

    setup(function()
      repo = repository.new()
      repo:commit(FILES)
      e = support.start(repo, { isolation = mode })
    end)
    teardown(function()
      e:close()
      repo:close()
    end)

    local function run(pipeline)
      local done = e:finished(e:run(pipeline))
      local function log(action) return table.concat(e:log(done, action), "\n") end
      return log, done
    end

    local function shown(pipeline)
      local log, done = run(pipeline)
      for _, item in ipairs(done.action_executions) do
        assert.equal("SUCCESSFUL", item.status, item.action.name .. "\n" .. log(item.action.name))
      end
      return (log "Show":gsub("Executing command: [^\n]*\n", "")):match "^[^\n]*\n(.*)\nBuild finished"
    end

    describe("ZIP", function()
      it("packs a folder, less what is excluded, with the exceptions from that", function()
        assert.equal(".secret\nassets/kept\nindex.html\nlink\nnew\\nline\nrun.sh\n<p>[ENV] two\nlines</p>",
          (shown "zip":gsub("%./", "")))
      end)

      it("packs everything but the archive itself, or a single file", function()
        local list = shown "zip_all"
        assert.is_nil(list:find "all.zip")
        assert.matches("site/assets/kept\n", list)
        assert.matches("index.html$", list)
      end)

      it("fails without its files", function()
        assert.matches("%./nothing is not in the checkout\nexit status 1\n", run "zip_missing" "Zip")
      end)
    end)

    describe("COPY_FILES", function()
      it("copies a folder or a file, with or without what is hidden", function()
        assert.equal("one/index.html\npublic/www/assets/kept\npublic/www/assets/other\npublic/www/index.html\n"
          .. "public/www/readme\npublic/www/run.sh\n"
          .. ".secret\nassets\ndebug.log\nindex.html\nreadme\nrun.sh", shown "copy")
      end)

      it("copies a folder into itself, but not onto itself", function()
        assert.is_nil(shown "copy_within":find "inner")
        assert.matches("The files are already there\nexit status 1", run "copy_self" "Copy")
      end)
    end)

    describe("REPLACE", function()
      it("replaces literally, over lines, and keeps a file's mode", function()
        assert.equal("<p>production a.*b\\1\n</p>\nread you\n755\necho production", shown "replace")
      end)

      it("keeps secrets off the command line, which everybody may read", function()
        local isolation, lines = e.engine.inside.isolation, {}
        local wrap = isolation.wrap
        function isolation:wrap(command)
          table.insert(lines, table.concat(command.command, " "))
          return wrap(self, command)
        end
        local done = e:finished(e:run("replace_secret", {
          variables = { { key = "PASSWORD", value = "needle", encrypted = true } } }))
        isolation.wrap = nil
        assert.matches("eldeen daer", table.concat(e:log(done, "Show"), "\n"))
        assert.equal(2, #lines)
        assert.is_nil(table.concat(lines, "\n"):find("needle", 1, true))
      end)

      it("fails when a variable leaves nothing to look for", function()
        assert.matches("$EMPTY is empty: there is nothing to look for", run "replace_nothing" "Replace", 1, true)
      end)
    end)

    it("never follow a link out of the checkout", function()
      local log, done = run "links"
      for _, name in ipairs { "Zip in", "Zip out", "Copy in", "Copy out", "Replace" } do
        assert.equal("FAILED", e:action(done, name).status, name)
        assert.matches("leads out of the checkout", log(name))
      end
      for _, name in ipairs { "Copy over", "Replace all", "Show" } do
        assert.equal("SUCCESSFUL", e:action(done, name).status, name .. log(name))
      end
      assert.matches("\nsafe\nnew\n", log "Show")
      assert.equal("file\nindex.html\n", process.run { command = { "ls", e.state .. "/home" } }.stdout)
    end)
  end)
end
