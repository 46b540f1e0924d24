local process = require "host.process"
local repository = require "host.repository"
local support = require "spec.support.repository"
local task = require "host.task"

local opened = {} -- closed after each test, newest first

local function closing(thing)
  table.insert(opened, thing)
  return thing
end

local function new_folder()
  return closing(support.folder()).path
end

--- A repository made by git, and ours on it.
local function new_repository()
  local repo = closing(support.new())
  return repo, closing(assert(repository.open(repo.path)))
end

local function read_file(path)
  local file <close> = assert(io.open(path, "rb"))
  return file:read "a"
end

local function write_file(path, content)
  local file <close> = assert(io.open(path, "wb"))
  assert(file:write(content))
end

local function shell(script, ...)
  local done = assert(process.run { command = { "sh", "-c", "set -e; " .. script, "sh", ... } })
  assert.are.equal(0, done.code, done.stderr)
  return done.stdout
end

--- Every name below a folder with its kind, permissions and target, sorted.
local function listing(path)
  return shell("cd \"$1\"; find . -mindepth 1 -printf '%P %y %m %l\\n' | sed 's/ $//' | LC_ALL=C sort", path)
end

--- The same with times of change, sizes and sums of contents.
local function fingerprint(path)
  return shell([[cd "$1"; find . -printf '%P %y %m %s %T@ %l\n' | LC_ALL=C sort
    find . -type f -exec sha256sum {} + | LC_ALL=C sort]], path)
end

--- A commit on refs/heads/main of entries { mode, path, content }.
local function commit_entries(repo, entries)
  local stream = { "commit refs/heads/main\ncommitter A <a@example.com> 1700000000 +0000\ndata 2\nx\n\ndeleteall\n" }
  for _, entry in ipairs(entries) do
    local mode, path, content = table.unpack(entry)
    table.insert(stream, mode == "160000" and ("M 160000 %s %s\n"):format(content, path)
      or ("M %s inline %s\ndata %d\n%s\n"):format(mode, path, #content, content))
  end
  repo:feed(table.concat(stream), "fast-import", "--quiet", "--force")
  return repo:tip "refs/heads/main"
end

local function fails(code, ...)
  local value, message, actual = ...
  assert.is_nil(value)
  assert.is_string(message)
  assert.are.equal(code, actual)
  return message
end

describe("repository", function()
  after_each(function()
    while #opened > 0 do table.remove(opened):close() end
  end)

  describe(".open", function()
    it("knows its work tree, opened from there or from a folder in it", function()
      local repo, git = new_repository()
      assert.are.equal(repo.path, git.path)
      shell("mkdir -p \"$1/a/b\"", repo.path)
      local below <close> = assert(repository.open(repo.path .. "/a/b"))
      assert.are.equal(repo.path, below.path)
    end)

    it("opens a bare repository", function()
      local repo = new_repository()
      local revision = repo:commit { ["a.txt"] = "a" }
      local bare = new_folder() .. "/bare.git"
      repo:git("clone", "--quiet", "--bare", repo.path, bare)
      local git <close> = assert(repository.open(bare))
      assert.are.equal(bare, git.path)
      assert.are.equal("a", git:read(revision, "a.txt"))
      local folder = new_folder()
      assert.is_true(git:checkout("main", folder))
      assert.are.equal("a.txt f 644\n", listing(folder))
    end)

    it("opens one that belongs to another user", function()
      local repo, git = new_repository()
      local revision = repo:commit { ["a.txt"] = "a" }
      git:close()
      if process.run({ command = { "chown", "-R", "65534", repo.path } }).code ~= 0 then return end -- not root
      local theirs <close> = assert(repository.open(repo.path))
      assert.are.equal(revision, theirs:head().revision)
    end)

    it("says where there is none", function()
      local folder = new_folder()
      assert.matches(folder, fails("ENOTFOUND", repository.open(folder)), 1, true)
      fails("ENOTFOUND", repository.open(folder .. "/missing"))
    end)

    it("raises when a closed one is used", function()
      local _, git = new_repository()
      git:close()
      git:close()
      assert.has_error(function() git:head() end, "calling 'head' on bad self (the repository is closed)")
      assert.is_string(git.path)
    end)
  end)

  -- Each height of the stack is met, so also those at which it is moved while something is freed.
  it("answers from however deep it is called", function()
    local repo, git = new_repository()
    local sha = repo:commit { ["a.txt"] = "a" }
    repo:tag("v1", sha, "annotated")

    local function ask(_, ...) -- with more on the stack for each argument
      return git:commit("HEAD").revision, #git:branches(), #git:tags(), #git:commits(nil, "HEAD"), ...
    end

    for depth = 1, 300 do
      local co = coroutine.create(ask)
      assert.same({ true, sha, 1, 1, 1 }, { coroutine.resume(co, table.unpack({}, 1, depth)) })
    end
  end)

  describe(":head", function()
    it("is unborn in an empty repository", function()
      local _, git = new_repository()
      fails("EUNBORN", git:head())
      assert.are.same({}, git:branches())
      assert.are.same({}, git:tags())
      assert.are.same({}, git:pull_requests())
      fails("ENOTFOUND", git:commit "HEAD")
    end)

    it("names the branch, and sees at once what git has committed", function()
      local repo, git = new_repository()
      local first = repo:commit { ["a.txt"] = "a" }
      assert.are.same({ revision = first, branch = "main" }, git:head())
      local second = repo:commit { ["a.txt"] = "b" }
      repo:git("gc", "--quiet")
      assert.are.same({ revision = second, branch = "main" }, git:head())
    end)

    it("names no branch when it is detached", function()
      local repo, git = new_repository()
      local first = repo:commit { ["a.txt"] = "a" }
      repo:git("update-ref", "--no-deref", "HEAD", first)
      repo:git("checkout", "--quiet", "--force", "--detach", first)
      assert.are.same({ revision = first }, git:head())
      assert.is_false(git:branches()[1].default)
    end)
  end)

  describe("references", function()
    it("lists the branches by name, with the one that HEAD names", function()
      local repo, git = new_repository()
      local first = repo:commit { ["a.txt"] = "a" }
      local second = repo:commit { ["a.txt"] = "b" }
      repo:branch("release/2", first)
      repo:git("pack-refs", "--all")
      repo:branch("dev", first)
      repo:git("update-ref", "refs/remotes/origin/elsewhere", first)
      assert.are.same({
        { name = "dev", revision = first, default = false },
        { name = "main", revision = second, default = true },
        { name = "release/2", revision = first, default = false },
      }, git:branches())
    end)

    it("lists tags with the commit they lead to, and the message of annotated ones", function()
      local repo, git = new_repository()
      local first = repo:commit { ["a.txt"] = "a" }
      repo:tag("v1.1", first, "Größer")
      repo:tag("v1.0", first)
      repo:git("tag", "-a", "-m", "A tag of a tag", "nested", "v1.1")
      assert.are.same({
        { name = "nested", revision = first, message = "A tag of a tag\n" },
        { name = "v1.0", revision = first },
        { name = "v1.1", revision = first, message = "Größer\n" },
      }, git:tags())
      assert.are.equal(first, git:commit("nested").revision)
    end)

    it("leaves out what leads to no commit", function()
      local repo, git = new_repository()
      local first = repo:commit { ["a.txt"] = "a" }
      repo:tag("file", (repo:git("rev-parse", first .. ":a.txt"):gsub("\n", "")))
      write_file(repo.path .. "/.git/refs/heads/broken", ("1"):rep(40) .. "\n")
      assert.are.same({}, git:tags())
      assert.are.same({ { name = "main", revision = first, default = true } }, git:branches())
    end)

    it("lists pull requests by number", function()
      local repo, git = new_repository()
      local first = repo:commit { ["a.txt"] = "a" }
      local second = repo:commit({ ["a.txt"] = "b" }, { branch = "dev", from = first })
      repo:pull_request(10, first)
      repo:pull_request(9, second)
      repo:git("update-ref", "refs/pull/9/merge", first)
      repo:git("update-ref", "refs/pull/x/head", first)
      assert.are.same({
        { name = "pull/9", number = 9, revision = second },
        { name = "pull/10", number = 10, revision = first },
      }, git:pull_requests())
    end)
  end)

  describe(":commit", function()
    it("tells everything of a commit", function()
      local repo, git = new_repository()
      local parent = repo:commit { ["a.txt"] = "a" }
      local stream = ("commit refs/heads/main\nauthor Ada Lovelace <ada@example.com> 1600000000 +0200\n"
        .. "committer Grace Hopper <grace@example.com> 1700000000 -0500\ndata 26\nGrüße\n\nThe second line.\n\n"
        .. "from %s\n"):format(parent)
      repo:feed(stream, "fast-import", "--quiet")
      local revision = repo:tip "refs/heads/main"
      assert.are.same({
        revision = revision,
        short_revision = revision:sub(1, 7),
        message = "Grüße\n\nThe second line.\n",
        subject = "Grüße",
        author = { name = "Ada Lovelace", email = "ada@example.com" },
        committer = { name = "Grace Hopper", email = "grace@example.com" },
        author_date = 1600000000,
        commit_date = 1700000000,
        parents = { parent },
      }, git:commit "main")
    end)

    it("understands what git understands", function()
      local repo, git = new_repository()
      local first = repo:commit { ["a.txt"] = "a" }
      local second = repo:commit { ["a.txt"] = "b" }
      repo:tag("v1.0", first, "one")
      for _, revision in ipairs { first, first:sub(1, 8), "HEAD~1", "main^", "v1.0", "refs/tags/v1.0", "v1.0^{}" } do
        assert.are.equal(first, assert(git:commit(revision), revision).revision)
      end
      assert.are.equal(second, git:commit("refs/heads/main").revision)
    end)

    it("turns a message of another encoding into UTF-8", function()
      local repo, git = new_repository()
      local function commit(header, message)
        local stream = "commit refs/heads/main\ncommitter J\xf6rg <j@example.com> 1700000000 +0000\n%sdata %d\n%s\n"
        repo:feed(stream:format(header, #message, message), "fast-import", "--quiet", "--force")
        return assert(git:commit "main")
      end
      local declared = commit("encoding ISO-8859-1\n", "Gr\xfc\xdfe")
      assert.are.equal("Grüße", declared.message)
      assert.are.equal("Jörg", declared.author.name)
      assert.are.equal("Grüße", commit("", "Gr\xfc\xdfe").message)
      assert.are.equal("Привет", commit("encoding KOI8-R\n", "\xf0\xd2\xc9\xd7\xc5\xd4").message)
      assert.are.equal("Grüße", commit("encoding no-such\n", "Gr\xfc\xdfe").message)
      assert.are.equal("", commit("", "").subject)
    end)

    it("says what does not exist, whatever the text", function()
      local repo, git = new_repository()
      repo:commit { ["a.txt"] = "a" }
      for _, revision in ipairs { "", " ", "nope", "a..b", "^main", "main~9", "main@{", "[", "-x", "main:a.txt",
        "refs/heads/", ("0"):rep(40), ("f"):rep(41), "HEAD^{tree}" } do
        assert.are.same({ revision, "ENOTFOUND" }, { revision, select(3, git:commit(revision)) })
      end
      assert.is_nil((git:commit(("x"):rep(5000))))
      assert.has_error(function() git:commit "main\0" end, "bad argument #1 to 'commit' (contains a NUL)")
      assert.has_error(function() git:commit() end)
    end)
  end)

  describe(":commits", function()
    it("lists what is new, newest first", function()
      local repo, git = new_repository()
      local made = {}
      for i = 1, 5 do made[i] = repo:commit { ["a.txt"] = tostring(i) } end
      local function revisions(...)
        local list = {}
        for i, commit in ipairs(assert(git:commits(...))) do list[i] = commit.revision end
        return list
      end
      assert.are.same({ made[5], made[4], made[3], made[2], made[1] }, revisions(nil, "main"))
      assert.are.same({ made[5], made[4] }, revisions(made[3], "main"))
      assert.are.same({ made[5] }, revisions(made[3], "main", { limit = 1 }))
      assert.are.same({}, revisions(nil, "main", { limit = 0 }))
      assert.are.same({}, revisions("main", made[3]))
    end)

    it("shows a merge before both of its sides, at most 100", function()
      local repo, git = new_repository()
      local base = repo:commit { ["a.txt"] = "a" }
      local side = repo:commit({ ["b.txt"] = "b" }, { branch = "dev", from = base })
      local main = repo:commit { ["a.txt"] = "b" }
      local merge = repo:git("commit-tree", "-m", "Merge", "-p", main, "-p", side, main .. "^{tree}"):gsub("\n", "")
      local list = assert(git:commits(nil, merge))
      assert.are.equal(4, #list)
      assert.are.same({ main, side }, list[1].parents)
      assert.are.equal(base, list[4].revision)
      local stream = {}
      for i = 1, 101 do
        stream[i] = ("commit refs/heads/long\ncommitter A <a@example.com> %d +0000\ndata 1\nx\n"):format(i)
      end
      repo:feed(table.concat(stream), "fast-import", "--quiet")
      assert.are.equal(100, #git:commits(nil, "long"))
    end)

    it("says what is missing, and raises on a limit that is none", function()
      local repo, git = new_repository()
      repo:commit { ["a.txt"] = "a" }
      fails("ENOTFOUND", git:commits(nil, "nope"))
      fails("ENOTFOUND", git:commits("nope", "main"))
      for _, limit in ipairs { -1, 1.5, "many" } do
        assert.has_error(function() git:commits(nil, "main", { limit = limit }) end)
      end
    end)

    it("says that a clone is shallow", function()
      local repo = new_repository()
      for i = 1, 3 do repo:commit { ["a.txt"] = tostring(i) } end
      local clone = new_folder()
      repo:git("clone", "--quiet", "--depth=1", "file://" .. repo.path, clone .. "/c")
      local git <close> = assert(repository.open(clone .. "/c"))
      assert.are.equal("3", git:read("HEAD", "a.txt"))
      assert.matches("unshallow", fails("ENOTFOUND", git:commits(nil, "HEAD")))
    end)
  end)

  describe(":changed_paths", function()
    it("tells added, changed and deleted paths apart", function()
      local repo, git = new_repository()
      local first = commit_entries(repo, {
        { "100644", "same", "s" }, { "100644", "changed", "1" }, { "100644", "old/name", "renamed" },
        { "100644", "mode", "m" }, { "100644", "link", "l" }, { "100644", "thing", "file" },
      })
      local second = commit_entries(repo, {
        { "100644", "same", "s" }, { "100644", "changed", "2" }, { "100644", "new/name", "renamed" },
        { "100755", "mode", "m" }, { "120000", "link", "same" }, { "100644", "thing/inside", "file" },
      })
      local changes = assert(git:changed_paths(first, second))
      for _, list in pairs(changes) do table.sort(list) end
      assert.are.same({
        added = { "new/name", "thing/inside" },
        changed = { "changed", "link", "mode" },
        deleted = { "old/name", "thing" },
      }, changes)
      assert.are.same({ added = {}, changed = {}, deleted = {} }, git:changed_paths(second, "main"))
    end)

    it("counts everything as added when there is no former revision", function()
      local repo, git = new_repository()
      repo:commit { ["a.txt"] = "a", ["b/c.txt"] = "c" }
      assert.are.same({ added = { "a.txt", "b/c.txt" }, changed = {}, deleted = {} }, git:changed_paths(nil, "main"))
      fails("ENOTFOUND", git:changed_paths("nope", "main"))
      fails("ENOTFOUND", git:changed_paths(nil, "nope"))
    end)
  end)

  describe(":read", function()
    it("reads a file as it was at a revision, byte for byte", function()
      local repo, git = new_repository()
      local bytes = "\0\r\n\xff" .. ("x"):rep(100000)
      local first = repo:commit { ["a.txt"] = "a", ["b/c.bin"] = bytes, empty = "" }
      repo:commit { ["a.txt"] = "changed" }
      assert.are.equal("a", git:read(first, "a.txt"))
      assert.are.equal("changed", git:read("main", "a.txt"))
      assert.are.equal(bytes, git:read("main", "b/c.bin"))
      assert.are.equal("", git:read("main", "empty"))
    end)

    it("says what is no file", function()
      local repo, git = new_repository()
      commit_entries(repo, { { "100644", "d/f", "f" }, { "160000", "sub", ("1"):rep(40) } })
      for _, path in ipairs { "missing", "d", "d/", "", "/d/f", "../x", "d/f/g", "sub" } do
        fails("ENOTFOUND", git:read("main", path))
      end
      fails("ENOTFOUND", git:read("nope", "d/f"))
    end)
  end)

  describe(":checkout", function()
    it("writes files, permissions, links, and a submodule as an empty folder", function()
      local repo, git = new_repository()
      commit_entries(repo, {
        { "100644", "a.txt", "a\n" }, { "100755", "bin/run", "#!/bin/sh\n" }, { "120000", "link", "a.txt" },
        { "120000", "outside", "../../etc" }, { "160000", "sub", ("1"):rep(40) },
        { "100644", ".gitmodules", "[submodule \"sub\"]\n\tpath = sub\n\turl = /nowhere\n" },
      })
      local folder = new_folder() .. "/made/here"
      for _ = 1, 2 do
        assert.is_true(git:checkout("main", folder))
        assert.are.equal(".gitmodules f 644\na.txt f 644\nbin d 755\nbin/run f 755\nlink l 777 a.txt\n"
          .. "outside l 777 ../../etc\nsub d 755\n", listing(folder))
        assert.are.equal("a\n", read_file(folder .. "/a.txt"))
      end
    end)

    it("brings a folder to the revision, and leaves alone what is right or not in git", function()
      local repo, git = new_repository()
      local first = repo:commit { ["a.txt"] = "first", ["same.txt"] = "same", ["gone.txt"] = "g", ["d/x.sh"] = "x" }
      local second = repo:commit { ["a.txt"] = "other", ["gone.txt"] = false }
      local folder = new_folder()
      assert.is_true(git:checkout(first, folder))
      shell([[cd "$1"; echo mine > untracked; mkdir cache; echo c > cache/c; rm d/x.sh; chmod 755 a.txt
        touch -d @1000000000 same.txt]], folder)
      assert.is_true(git:checkout(second, folder))
      assert.are.equal("a.txt f 644\ncache d 755\ncache/c f 644\nd d 755\nd/x.sh f 755\ngone.txt f 644\n"
        .. "same.txt f 644\nuntracked f 644\n", listing(folder))
      assert.are.equal("other", read_file(folder .. "/a.txt"))
      assert.are.equal("mine\n", read_file(folder .. "/untracked"))
      assert.are.equal("1000000000\n", shell("stat -c %Y \"$1/same.txt\"", folder))
    end)

    it("writes over what was changed, whatever its size and time", function()
      local repo, git = new_repository()
      repo:commit { ["a.txt"] = "right" }
      repo:checkout()
      local folder = new_folder()
      assert.is_true(git:checkout("main", folder))
      shell("printf wrong > \"$1/a.txt\"; touch -r \"$2/a.txt\" \"$1/a.txt\"", folder, repo.path)
      assert.is_true(git:checkout("main", folder))
      assert.are.equal("right", read_file(folder .. "/a.txt"))
    end)

    it("never writes through a link that lies in the folder", function()
      local repo, git = new_repository()
      repo:commit { ["file"] = "from git", ["folder/inside"] = "from git", ["deep/er/file"] = "from git" }
      local folder, outside = new_folder(), new_folder()
      shell([[cd "$2"; echo safe > file; mkdir folder er; echo safe > folder/inside; echo safe > er/file
        cd "$1"; ln -s "$2/file" file; ln -s "$2/folder" folder; mkdir deep; ln -s "$2/er" deep/er]], folder, outside)
      local before = fingerprint(outside)
      assert.is_true(git:checkout("main", folder))
      assert.are.equal(before, fingerprint(outside))
      assert.are.equal("deep d 755\ndeep/er d 755\ndeep/er/file f 644\nfile f 644\nfolder d 755\nfolder/inside f 644\n",
        listing(folder))
      assert.are.equal("from git", read_file(folder .. "/folder/inside"))
    end)

    it("puts files in the place of folders, and folders in the place of files", function()
      local repo, git = new_repository()
      local first = commit_entries(repo, { { "100644", "a", "a" }, { "100644", "b/c", "c" }, { "120000", "d", "a" } })
      local second = commit_entries(repo, { { "100644", "a/c", "a" }, { "100644", "b", "c" }, { "100644", "d", "d" } })
      local folder = new_folder()
      for _, revision in ipairs { first, second, first } do
        assert.is_true(git:checkout(revision, folder))
        local wanted = revision == first and "a f 644\nb d 755\nb/c f 644\nd l 777 a\n"
          or "a d 755\na/c f 644\nb f 644\nd f 644\n"
        assert.are.equal(wanted, listing(folder))
      end
    end)

    it("applies the attributes of the revision", function()
      local repo, git = new_repository()
      repo:commit { [".gitattributes"] = "*.bat text eol=crlf\n", ["a.bat"] = "1\n2\n", ["a.txt"] = "1\n2\n" }
      local folder = new_folder()
      assert.is_true(git:checkout("main", folder))
      assert.are.equal("1\r\n2\r\n", read_file(folder .. "/a.bat"))
      assert.are.equal("1\n2\n", read_file(folder .. "/a.txt"))
    end)

    it("changes nothing in the user's repository and work tree", function()
      local repo, git = new_repository()
      local first = repo:commit { ["a.txt"] = "a", ["b.txt"] = "b" }
      repo:commit { ["a.txt"] = "changed", ["b.txt"] = false }
      repo:checkout()
      write_file(repo.path .. "/a.txt", "the user's work")
      local before = fingerprint(repo.path)
      assert.is_true(git:checkout(first, new_folder()))
      assert.is_true(git:checkout("main", new_folder()))
      git:head()
      git:commits(nil, "main")
      assert.are.equal(before, fingerprint(repo.path))
    end)

    it("says why it cannot", function()
      local repo, git = new_repository()
      repo:commit { ["a.txt"] = "a" }
      local folder = new_folder()
      fails("ENOTFOUND", git:checkout("nope", folder))
      write_file(folder .. "/file", "")
      fails("ENOTDIR", git:checkout("main", folder .. "/file/x"))
      fails("EGIT", git:checkout("main", folder .. "/file"))
      assert.has_error(function() git:checkout("main", "relative") end)
    end)

    it("refuses a tree that names .git or the folder above", function()
      local repo, git = new_repository()
      local function made(input, ...) return (repo:feed(input, ...):gsub("\n", "")) end
      local blob = made("owned", "hash-object", "-w", "--stdin")
      local inner = made(("100755 blob %s\tfile\n"):format(blob), "mktree")
      for _, name in ipairs { ".git", "..", ".GIT", "." } do
        for _, entry in ipairs { "040000 tree " .. inner, "100644 blob " .. blob } do
          local tree = made(("%s\t%s\n"):format(entry, name), "mktree")
          local folder = new_folder()
          shell("mkdir \"$1/below\"; echo safe > \"$1/file\"", folder)
          fails("EGIT", git:checkout(made("", "commit-tree", "-m", "x", tree), folder .. "/below"))
          assert.are.equal("below d 755\nfile f 644\n", listing(folder))
          assert.are.equal("safe\n", read_file(folder .. "/file"))
        end
      end
    end)

    it("runs side by side with others, and after its repository was closed", function()
      local repo, git = new_repository()
      local files = {}
      for i = 1, 50 do files[("d%d/%d.txt"):format(i % 5, i)] = tostring(i) end
      repo:commit(files)
      local tasks, folders = {}, {}
      for i = 1, 6 do
        folders[i] = new_folder()
        tasks[i] = task.spawn(function() return assert(git:checkout("main", folders[i])) end)
      end
      task.sleep(0)
      git:close()
      for i, running in ipairs(tasks) do
        assert.is_true(running:join())
        assert.are.equal(listing(folders[1]), listing(folders[i]))
      end
    end)

    it("can be given up", function()
      local repo, git = new_repository()
      repo:commit { ["a.txt"] = "a" }
      local folder = new_folder() .. "/x"
      local running = task.spawn(function() git:checkout("main", folder) end)
      task.sleep(0)
      running:cancel()
      local limit = task.monotonic() + 20
      while not io.open(folder .. "/a.txt") do -- the worker finishes by itself
        assert(task.monotonic() < limit, "the checkout has never ended")
        task.sleep(0.002)
      end
    end)
  end)
end)
