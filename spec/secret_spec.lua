local moonsail = require "spec.support.moonsail"
local process = require "host.process"
local secret = require "host.secret"

describe("host.secret", function()
  local folder, path

  before_each(function()
    folder = moonsail.folder()
    path = folder.path .. "/key"
  end)

  after_each(function()
    getmetatable(folder).__close(folder)
  end)

  local function sh(command)
    return assert(process.run { command = { "sh", "-c", command, "sh", path }, directory = folder.path }).stdout
  end

  local function refused(code, ...)
    local key, message, given = secret.key(path)
    assert.is_nil(key)
    assert.equal(code, given)
    for _, part in ipairs { ... } do assert.matches(part, message, 1, true) end
  end

  describe(".key", function()
    it("makes a file that only its owner can read, and nothing beside it", function()
      secret.key(path):close()
      assert.equal("600 32 key\n", sh "umask 0; stat -c '%a %s' key | tr '\\n' ' '; ls -A")
    end)

    it("finds the same key again", function()
      local first <close> = secret.key(path)
      local again <close> = secret.key(path)
      assert.equal("a value", again:open(first:seal "a value"))
    end)

    it("refuses a file that others can read, and says what to do", function()
      secret.key(path):close()
      sh "chmod 640 key"
      refused("EACCES", "0640", "chmod 600 " .. path)
      sh "chmod 600 key"
      secret.key(path):close()
    end)

    it("refuses a file that holds no key, and leaves it as it is", function()
      sh "umask 077; printf short >key"
      refused("EINVAL", "5 bytes and not 32", "backup")
      assert.equal("short", sh "cat key")
    end)

    it("follows no symbolic link", function()
      sh "umask 077; head -c 32 /dev/zero >elsewhere; ln -s elsewhere key"
      refused("ELOOP", path)
      sh "rm elsewhere"
      refused("ELOOP", path)
      assert.equal("key\n", sh "ls")
    end)

    it("refuses what is no file", function()
      sh "mkdir -m 700 key"
      refused("EINVAL", "not a file")
      sh "rmdir key; mkfifo -m 600 key"
      refused("EINVAL", "not a file")
    end)

    it("says why it cannot make one", function()
      path = folder.path .. "/no/such/key"
      refused("ENOENT", path)
    end)

    it("wants a path", function()
      assert.has_error(function() secret.key "" end)
      assert.has_error(function() secret.key "a\0b" end)
      assert.has_error(function() secret.key() end)
    end)
  end)

  describe("a key", function()
    local key

    before_each(function() key = assert(secret.key(path)) end)
    after_each(function() key:close() end)

    it("opens what it has sealed", function()
      for _, text in ipairs { "", "x", "a\0b", ("long"):rep(100000) } do
        local sealed = key:seal(text)
        assert.equal(#text + 40, #sealed)
        assert.is_nil(#text > 1 and sealed:find(text, 1, true) or nil)
        assert.equal(text, key:open(sealed))
      end
    end)

    it("seals the same text differently each time", function()
      assert.not_equal(key:seal "same", key:seal "same")
    end)

    it("does not open what was altered, cut or sealed by another key", function()
      local other <close> = secret.key(path .. "2")
      local sealed = key:seal "a value"
      local faults = { "", "short", sealed:sub(1, -2), sealed .. "x", other:seal "a value" }
      for i = 1, #sealed do
        faults[#faults + 1] = sealed:sub(1, i - 1) .. string.char(sealed:byte(i) ~ 1) .. sealed:sub(i + 1)
      end
      for _, bytes in ipairs(faults) do
        local text, message, code = key:open(bytes)
        assert.is_nil(text)
        assert.is_string(message)
        assert.equal("EBADMSG", code)
      end
    end)

    it("cannot be used once closed, and closes twice", function()
      key:close()
      key:close()
      assert.error_matches(function() key:seal "x" end, "the key is closed")
      assert.error_matches(function() key:open "x" end, "the key is closed")
    end)

    it("shows nothing of itself", function()
      assert.equal("host.Key", getmetatable(key))
    end)
  end)

  describe(".digest", function()
    it("is BLAKE2b with 32 bytes", function()
      assert.equal("0e5751c026e543b2e8ab2eb06099daa1d1e5df47778f7787faab45cdf12fe3a8", secret.digest "")
      assert.equal("bddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d52319", secret.digest "abc")
    end)
  end)
end)
