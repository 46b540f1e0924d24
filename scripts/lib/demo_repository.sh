# The demo's git repository. To be sourced.

demo_commit() { # demo_commit AUTHOR DATE MESSAGE
  git add -A
  GIT_AUTHOR_NAME=$1 GIT_AUTHOR_EMAIL=$(printf '%s' "$1" | tr '[:upper:] ' '[:lower:].')@example.com \
    GIT_COMMITTER_NAME='Release Bot' GIT_COMMITTER_EMAIL=bot@example.com GIT_AUTHOR_DATE=$2 GIT_COMMITTER_DATE=$2 \
    git commit -q -m "$3"
}

demo_tag() { # demo_tag NAME MESSAGE
  GIT_COMMITTER_NAME='Release Bot' GIT_COMMITTER_EMAIL=bot@example.com git tag -a -m "$2" "$1"
}

demo_program() { # demo_program GREETING
  cat >hello.c <<C
#include <stdio.h>

int main(void) {
  puts("$1 " VERSION);
  return 0;
}
C
}

demo_pipelines() { # demo_pipelines PUBLIC
  cat >buddy.yml <<YAML
- pipeline: build
  name: Build
  refs: [ "*" ]
  actions:
    - action: Compile
      type: BUILD
      docker_image_name: gcc
      execute_commands:
        - cc -Wall -O2 -DVERSION="\"from \$VERSION\"" -o hello hello.c
    - action: Test
      type: BUILD
      docker_image_name: gcc
      execute_commands:
        - ./hello | grep "from \$VERSION"
    - action: Package
      type: BUILD
      docker_image_name: gcc
      execute_commands:
        - mkdir -p "$1/packages"
        - tar -czf "$1/packages/hello-\$VERSION.tar.gz" hello
        - ls -l "$1/packages"

- pipeline: deploy
  name: Deploy
  refs: [ "*" ]
  actions:
    - action: Unpack
      type: BUILD
      docker_image_name: debian
      execute_commands:
        - mkdir -p "$1/releases/\$VERSION"
        - tar -xzf "$1/packages/hello-\$VERSION.tar.gz" -C "$1/releases/\$VERSION"
    - action: Settle
      type: SLEEP
      sleep_in_sec: 1
    - action: Publish
      type: BUILD
      docker_image_name: debian
      execute_commands:
        - ln -sfn "releases/\$VERSION" "$1/current"

- pipeline: verify
  name: Verify
  refs: [ "*" ]
  actions:
    - action: Greets
      type: BUILD
      docker_image_name: debian
      execute_commands:
        - '"$1/current/hello" | tee /dev/stderr | grep -q "^Hello "'
YAML
}

make_demo_repository() { # make_demo_repository FOLDER PUBLIC
  mkdir -p "$1"
  (
    cd "$1"
    export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_SYSTEM=/dev/null
    git init -q -b main
    demo_pipelines "$2"
    demo_commit 'Ada Example' '2026-01-05T09:00:00Z' 'Pipelines: build, deploy, verify'
    demo_program Hello
    demo_commit 'Ben Example' '2026-01-06T10:30:00Z' 'Say hello'
    demo_tag v1.0.0 'The first release'
    git checkout -q -b shorter
    demo_program Hi
    demo_commit 'Ben Example' '2026-01-07T11:00:00Z' 'Say it shorter'
    git update-ref refs/pull/1/head HEAD
    git checkout -q main
    demo_program ''
    demo_commit 'Ada Example' '2026-01-08T16:45:00Z' 'Say nothing but the version'
    demo_tag v1.1.0 'The second release'
  )
}
