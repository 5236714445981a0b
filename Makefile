# libgrace: `make demo` shows it at work, `make check` tests it. See README.md.

PREFIX  ?= /usr/local
DESTDIR ?=
BUILD   ?= build
CC      ?= cc

# Another architecture: its compiler and a build folder of its own, which these are short for.
compiler_i386    := i686-linux-gnu-gcc
compiler_aarch64 := aarch64-linux-gnu-gcc
ifneq ($(ARCH),)
CC    := $(or $(compiler_$(ARCH)),$(error ARCH=$(ARCH): libgrace is written for x86_64 (no ARCH), i386 and aarch64))
BUILD := build/$(ARCH)
endif

# What a compiler says; where it is not there yet, what it will say when it has been installed.
multiarch  = $(shell $(1) -print-multiarch 2>/dev/null || echo $(patsubst i%86,i386,$(2))-linux-gnu)
MACHINE   := $(shell uname -m)
MULTIARCH := $(call multiarch,$(CC),$(or $(ARCH),$(MACHINE)))
# "": for the machine that builds.
CROSS     := $(filter-out $(call multiarch,gcc,$(MACHINE)),$(MULTIARCH))
LIBDIR     = $(PREFIX)/lib/$(MULTIARCH)
VERSION   := 0.1.0

OPTIMIZE ?= -O2 -g
WARNINGS := -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes
CPPFLAGS += -I. -D_GNU_SOURCE -DGRACE_VERSION='"$(VERSION)"' -DGRACE_MULTIARCH='"$(MULTIARCH)"'
# Elsewhere an offset has 64 bits anyway, and the calls their plain names: musl's loader, which may meet our library, has
# no fcntl64.
CPPFLAGS += $(if $(filter i386-%,$(MULTIARCH)),-D_FILE_OFFSET_BITS=64)
# The same sources give the same bytes, in whichever folder.
CFLAGS   += -std=gnu11 $(OPTIMIZE) $(WARNINGS) $(SANITIZE) -MMD -MP -ffile-prefix-map=$(CURDIR)=.
# A note about compilers before gcc 11; what depends on it is asserted (hooks/ledger.h).
CFLAGS   += $(if $(filter i386-%,$(MULTIARCH)),-Wno-psabi)
# What lives in the target is hidden but for its declared exports, and keeps out of the stack
# protector: a thread without libc's TLS may run a handler of ours.
PIC      := -fPIC -fvisibility=hidden -fno-stack-protector -fno-semantic-interposition -ffunction-sections -fdata-sections

# Every .c file of a folder belongs to that folder's part. A plugin is a file of hooks/ named below, with
# what it needs of files in a folder of its name, and of libraries in NAME_libs.
PLUGINS   := flush metrics unlink backup snapshot
# … and those that talk to somebody else:
PLUGINS   += http redis ready sql notify
config_src := $(wildcard config/*.c)
hooks_src  := $(filter-out $(PLUGINS:%=hooks/%.c),$(wildcard hooks/*.c))
shim_src   := $(filter-out shim/db/%,$(wildcard shim/*.c shim/*/*.c))
db_src     := $(wildcard shim/db/*.c)
ops_src    := $(wildcard ops/*.c)

config_obj := $(config_src:%.c=$(BUILD)/obj/%.o) $(BUILD)/obj/libconfig.o
# What plugins share with each other, and the grace command with a plugin.
shared_src := $(wildcard hooks/parts/*.c hooks/metrics/*.c)

hooks_obj  := $(hooks_src:%.c=$(BUILD)/obj/%.o)
shared_obj := $(shared_src:%.c=$(BUILD)/obj/%.o)
shim_obj   := $(shim_src:%.c=$(BUILD)/obj/%.o)
# On 32 bit a program's time_t has 32 bits or 64, and the calls that take one have a name for each (shim/resume.h).
timed_src  := $(patsubst %,shim/calls/%.c,wait_epoll wait_ipc wait_poll wait_select wait_sleep sigwait)
shim_obj   += $(if $(filter i386-%,$(MULTIARCH)),$(timed_src:%.c=$(BUILD)/obj/%.time64.o))
# libgrace-db.so shares these two with libgrace.so, and has them of its own.
db_obj     := $(patsubst %.c,$(BUILD)/obj/%.o,$(db_src) shim/redirect.c hooks/kernel.c)
ops_obj    := $(ops_src:%.c=$(BUILD)/obj/%.o)

# For another architecture those that need no library of it: external plugins run in this machine's guardian.
plugins    := $(patsubst %,$(BUILD)/hooks/%.so,$(if $(CROSS),$(filter-out backup http redis sql,$(PLUGINS)),$(PLUGINS)))
products   := $(BUILD)/libgrace.so $(BUILD)/libgrace-db.so $(BUILD)/grace $(plugins)

all: $(products)

# ---- products ------------------------------------------------------------------------------------

# Some exports are of some architectures only.
$(BUILD)/obj/shim/exports.map: shim/exports.map Makefile | $(BUILD)/deps.built
	@mkdir -p $(@D)
	$(CC) -E -P -x c -include features.h -o $@ $<

# Without the compiler's start files: they do nothing for C that is never unloaded, and what they look up and have
# relocated costs each start two microseconds, and a page.
$(BUILD)/libgrace.so: $(shim_obj) $(hooks_obj) $(config_obj) $(BUILD)/obj/shim/exports.map
	$(CC) $(CFLAGS) $(LDFLAGS) -shared -nostartfiles -Wl,-soname,libgrace.so -Wl,-z,now -Wl,-z,defs \
	    -Wl,-z,nodelete -Wl,-z,noseparate-code -Wl,--sort-section=name -Wl,-z,relro -Wl,--exclude-libs,ALL -Wl,--gc-sections \
	    -Wl,--version-script=$(BUILD)/obj/shim/exports.map -o $@ $(filter %.o,$^)

$(BUILD)/libgrace-db.so: $(db_obj) shim/db/exports.map
	$(CC) $(CFLAGS) $(LDFLAGS) -shared -Wl,-soname,libgrace-db.so -Wl,-z,now -Wl,-z,defs -Wl,-z,nodelete \
	    -Wl,-z,noseparate-code -Wl,-z,relro -Wl,--gc-sections -Wl,--version-script=shim/db/exports.map -o $@ $(filter %.o,$^)

$(BUILD)/grace: $(ops_obj) $(shared_obj) $(hooks_obj) $(config_obj)
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^

$(foreach plugin,$(PLUGINS),$(eval $(BUILD)/hooks/$(plugin).so: \
    $(patsubst %.c,$(BUILD)/obj/%.o,$(wildcard hooks/$(plugin)/*.c))))

# What a plugin shares with the rest of libgrace is linked into it: it looks up nothing in the target.
$(BUILD)/hooks/flush.so: $(BUILD)/obj/hooks/flush_stdio.o $(BUILD)/obj/hooks/kernel.o
$(BUILD)/hooks/backup.so: $(BUILD)/obj/hooks/parts/lock_folder.o
backup_libs = -lzstd
$(BUILD)/hooks/metrics.so: $(BUILD)/obj/hooks/parts/lock_folder.o $(BUILD)/obj/config/utf8.o
$(BUILD)/hooks/http.so: $(patsubst %,$(BUILD)/obj/hooks/%.o,parts/expand parts/secret text) $(BUILD)/obj/config/utf8.o
$(BUILD)/hooks/redis.so: $(patsubst %,$(BUILD)/obj/hooks/%.o,parts/expand parts/secret text) $(BUILD)/obj/config/utf8.o
$(BUILD)/hooks/ready.so: $(patsubst %,$(BUILD)/obj/hooks/%.o,parts/expand text) $(BUILD)/obj/config/utf8.o
$(BUILD)/hooks/sql.so: $(patsubst %,$(BUILD)/obj/hooks/%.o,parts/expand parts/secret text) $(BUILD)/obj/config/utf8.o
$(BUILD)/hooks/notify.so: $(patsubst %,$(BUILD)/obj/hooks/%.o,parts/expand text) $(BUILD)/obj/config/utf8.o
http_libs  = -lcurl
sql_libs   = -lpq -lsqlite3
redis_libs = -lhiredis -lssl -lcrypto
$(BUILD)/hooks/%.so: $(BUILD)/obj/hooks/%.o
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(LDFLAGS) -shared -Wl,-z,now -Wl,-z,defs -Wl,--as-needed -o $@ $(sort $^) $($*_libs)

# What lives in the target is made small. Tables for unwinding are for what may have code of the target's
# above it on the stack: the wrappers, the handler, the threads of in-process hooks.
unwound := $(patsubst %,$(BUILD)/obj/shim/%.o,arrival dispositions resume slots worker) \
           $(patsubst %.c,$(BUILD)/obj/%.o,$(wildcard shim/calls/*.c shim/late/*.c)) \
           $(timed_src:%.c=$(BUILD)/obj/%.time64.o)
small   := $(config_obj) $(hooks_obj) $(shim_obj)
$(small): CFLAGS += -Os
$(filter-out $(unwound),$(small)): CFLAGS += -fno-asynchronous-unwind-tables
$(BUILD)/obj/%.o: %.c Makefile | $(BUILD)/deps.built
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) $(PIC) -c -o $@ $<

$(BUILD)/obj/%.time64.o: %.c Makefile | $(BUILD)/deps.built
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) -D_TIME_BITS=64 -DGRACE_TIME64 $(CFLAGS) $(PIC) -c -o $@ $<

# libconfig goes into our own objects: none of its symbols is visible or looked up outside, and what
# it would take from libc and must not have inside a target is given other names, which
# config/libconfig_*.c define. (Its objects are not PIC: references to stdio variables could not stay.)
OBJCOPY     = $(shell $(CC) -print-prog-name=objcopy)
LIBCONFIG_A = $(call static_library,libconfig.a)
LIBCONFIG_USED := config_init config_read_string config_setting_get_elem config_setting_get_member \
                  config_setting_length
$(BUILD)/obj/libconfig.o: config/libconfig.renames Makefile | $(BUILD)/deps.built
	@mkdir -p $(@D)
	$(CC) -r -nostdlib -Wl,--force-group-allocation -Wl,--whole-archive $(LIBCONFIG_A) -Wl,--no-whole-archive -o $@.all
	$(OBJCOPY) --remove-section=.eh_frame --redefine-syms=config/libconfig.renames \
	    $(LIBCONFIG_USED:%=--keep-global-symbol=%) \
	    --weaken-symbol=__snprintf_chk --weaken-symbol=__strcat_chk $@.all $@
	rm -f $@.all

# ---- packages ------------------------------------------------------------------------------------

# Installs what is missing (Debian packages), and only then; `build` is enough to compile.
deps:
	./tests/deps build demo check

$(BUILD)/deps.built: tests/deps $(if $(CROSS),$(BUILD)/sysroot.unpacked)
	./tests/deps build $(if $(CROSS),cross)
	@mkdir -p $(BUILD) && touch $@

# Libraries of another architecture are linked in, from where its packages are installed, or else from a folder
# that they are unpacked in.
$(BUILD)/sysroot.unpacked: tests/sysroot
	./tests/sysroot $(patsubst aarch64-%,arm64,$(patsubst i386-%,i386,$(MULTIARCH))) $(BUILD)/sysroot \
	    libconfig-dev check libsubunit-dev
	@touch $@
static_library = $(firstword $(filter /%,$(shell $(CC) -print-file-name=$(1))) $(BUILD)/sysroot/usr/lib/$(MULTIARCH)/$(1))

# ---- the demo ------------------------------------------------------------------------------------

# What libgrace does, on the terminal, in half a minute.
demo:
	./tests/deps build demo
	$(MAKE) BUILD=$(BUILD) all
	./tests/demo $(BUILD)/libgrace.so

# ---- tests ---------------------------------------------------------------------------------------

native_src := tests/unit/test_late_tls.c # there is no OpenSSL of another architecture
unit_src   := $(filter-out $(if $(CROSS),$(native_src)),$(wildcard tests/unit/test_*.c))
system_src := $(wildcard tests/system/test_*.c)
unit_bin   := $(unit_src:tests/%.c=$(BUILD)/tests/%)
system_bin := $(system_src:tests/%.c=$(BUILD)/tests/%)
program_src := $(wildcard tests/programs/*.c)
program_cxx := $(if $(CROSS),,$(wildcard tests/programs/*.cc))
test_programs := $(program_src:tests/programs/%.c=$(BUILD)/tests/programs/%) \
                 $(program_cxx:tests/programs/%.cc=$(BUILD)/tests/programs/%)
test_plugin_src := $(wildcard tests/programs/hooks/*.c)
test_plugins := $(test_plugin_src:tests/programs/hooks/%.c=$(BUILD)/tests/hooks/%.so) \
                $(if $(CROSS),,$(patsubst tests/programs/hooks/%.cc,$(BUILD)/tests/hooks/%.so,$(wildcard tests/programs/hooks/*.cc)))
# Objects for the tests of late redirection: one source, built in each way that binds its calls.
test_objects := $(patsubst %,$(BUILD)/tests/objects/%.so,caller_eager caller_lazy caller_noplt libgrace-caller redirector)
CHECK_LIBS  = $(if $(CROSS),$(patsubst %,$(call static_library,lib%.a),check subunit) -lm -lrt,$(shell pkg-config --libs check 2>/dev/null))

# libgrace's logic as a library, for tests and sanitizers: all but what only a preload can do.
shim_logic := $(filter-out shim/preload.c,$(wildcard shim/*.c shim/drain/*.c shim/late/*.c))
$(BUILD)/libgrace.a: $(config_obj) $(shared_obj) $(hooks_obj) $(shim_logic:%.c=$(BUILD)/obj/%.o)
	rm -f $@ && $(shell $(CC) -print-prog-name=ar) rcsD $@ $^

harness_obj := $(patsubst tests/%.c,$(BUILD)/tests/%.o,$(wildcard tests/system/harness*.c))
loss_obj    := $(patsubst tests/%.c,$(BUILD)/tests/%.o,$(wildcard tests/loss/*.c))

$(BUILD)/tests/%.o: tests/%.c Makefile | $(BUILD)/deps.built
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) -DGRACE_SOURCE='"$(CURDIR)"' -DGRACE_CC='"$(CC)"' $(CFLAGS) -c -o $@ $<

$(BUILD)/tests/unit/%: $(BUILD)/tests/unit/%.o $(BUILD)/tests/suite.o $(BUILD)/libgrace.a | $(BUILD)/deps.check
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $(filter %.o %.a,$^) $(CHECK_LIBS) $(test_libs) -lpthread

$(BUILD)/tests/system/%: $(BUILD)/tests/system/%.o $(BUILD)/tests/suite.o $(harness_obj) | $(BUILD)/deps.check
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $(filter %.o %.a,$^) $(CHECK_LIBS) $(test_libs) -lpthread

$(BUILD)/tests/unit/test_redirect: LDFLAGS += -rdynamic
$(BUILD)/tests/unit/test_late_tls $(BUILD)/tests/system/test_answers $(BUILD)/tests/system/test_drain_tls: test_libs = -lssl -lcrypto
$(BUILD)/tests/system/test_drain_loss: $(loss_obj)

# Targets for the tests: small programs that know nothing of libgrace.
namesake_flags := -rdynamic -fno-builtin
faults_flags   := -Wl,-z,now
$(BUILD)/tests/programs/%: tests/programs/%.c | $(BUILD)/deps.built
	@mkdir -p $(@D)
	$(CC) -std=gnu11 -D_GNU_SOURCE -O1 -g -Wall -Wextra -MMD -MP $($*_flags) -o $@ $< -lpthread

# Larger ones: a folder each.
program_folders := $(addprefix $(BUILD)/tests/programs/,server load secure)
test_programs   += $(if $(CROSS),$(BUILD)/tests/programs/server,$(program_folders))
$(BUILD)/tests/programs/server: $(wildcard tests/programs/server/*.[ch])
$(BUILD)/tests/programs/load: $(wildcard tests/programs/load/*.[ch])
$(BUILD)/tests/programs/secure: $(wildcard tests/programs/secure/*.[ch]) tests/programs/accept_loop.h
$(BUILD)/tests/programs/load $(BUILD)/tests/programs/secure: folder_libs = -lssl -lcrypto
$(program_folders): | $(BUILD)/deps.built
	@mkdir -p $(@D)
	$(CC) -std=gnu11 -D_GNU_SOURCE -O1 -g $(WARNINGS) $(if $(CROSS),-Wno-psabi) -o $@ $(filter %.c,$^) -lpthread $(folder_libs)

# Clients of databases.
transaction_programs := $(addprefix $(BUILD)/tests/programs/transactions/,libpq mariadb sqlite_moments libpq_moments mariadb_moments)
test_programs += $(if $(CROSS),,$(transaction_programs))
transactions/libpq_flags           := -I/usr/include/postgresql -Wl,--no-as-needed -lpq
transactions/libpq_moments_flags   := $(transactions/libpq_flags)
transactions/mariadb_flags         := -I/usr/include/mariadb -Wl,--no-as-needed -lmariadb
transactions/mariadb_moments_flags := $(transactions/mariadb_flags)
transactions/sqlite_moments_flags  := -Wl,--no-as-needed -lsqlite3
$(transaction_programs): | $(BUILD)/deps.check

$(BUILD)/tests/programs/%: tests/programs/%.cc | $(BUILD)/deps.built
	@mkdir -p $(@D)
	$(CXX) -O1 -g -Wall -Wextra -MMD -MP -o $@ $< -lpthread

$(BUILD)/tests/hooks/%.so: tests/programs/hooks/%.c hooks/grace_hook.h | $(BUILD)/deps.built
	@mkdir -p $(@D)
	$(CC) -std=c11 -D_GNU_SOURCE -Ihooks -O1 -g -Wall -Wextra -fPIC -shared -o $@ $<

$(BUILD)/tests/hooks/%.so: tests/programs/hooks/%.cc hooks/grace_hook.h | $(BUILD)/deps.built
	@mkdir -p $(@D)
	$(CXX) -std=c++11 -Ihooks -O1 -g -Wall -Wextra -fPIC -shared -o $@ $<

caller_eager_flags    := -Wl,-z,now -Wl,-z,relro
caller_lazy_flags     := -Wl,-z,lazy -Wl,-z,norelro
caller_noplt_flags    := -fno-plt
libgrace-caller_flags := -Wl,-z,lazy
$(BUILD)/tests/objects/redirector.so: tests/programs/objects/redirector.c $(BUILD)/obj/shim/redirect.o $(BUILD)/obj/hooks/kernel.o
	@mkdir -p $(@D)
	$(CC) -I. $(CFLAGS) -D_GNU_SOURCE -fPIC -shared -Wl,-z,now -o $@ $(filter %.c %.o,$^)

$(BUILD)/tests/objects/%.so: tests/programs/objects/caller.c Makefile | $(BUILD)/deps.built
	@mkdir -p $(@D)
	$(CC) -std=gnu11 -D_GNU_SOURCE -O1 -g -Wall -Wextra -fPIC -shared $($*_flags) -o $@ $<

$(BUILD)/deps.check: tests/deps
	./tests/deps build demo check
	@mkdir -p $(BUILD) && touch $@ $(BUILD)/deps.built

fuzzers := $(BUILD)/fuzz/config $(BUILD)/fuzz/ledger

tests: $(products) $(unit_bin) $(system_bin) $(test_programs) $(test_plugins) $(test_objects)

check: $(BUILD)/deps.check
	$(MAKE) BUILD=$(BUILD) tests $(fuzzers)
	./tests/run $(BUILD) $(unit_bin) tests/fuzz/run $(system_bin)

# The same on another architecture: its unit tests, and the stories that need no program of Debian's, told by this
# machine's harness about programs, library and grace command of that one.
foreign_stories := handlers signals hooks endings guardian guardian_stop guardian_trouble guardian_hidden owner_workers \
                   recover drain_quiet drain_stop
foreign_unit    := $(patsubst %.c,%,$(filter-out $(native_src),$(unit_src)))
mixed_i386      := mixed-check
check-i386 check-aarch64: check-%: $(BUILD)/deps.check
	$(MAKE) BUILD=$(BUILD) $(BUILD)/grace $(foreign_stories:%=$(BUILD)/tests/system/test_%)
	$(MAKE) ARCH=$* CC=$(compiler_$*) BUILD=$(BUILD)/$* foreign-tests
	$(MAKE) ARCH=$* CC=$(compiler_$*) BUILD=$(BUILD)/$* foreign-check $(mixed_$*)

foreign-tests: $(unit_bin) $(test_programs) $(test_plugins) $(test_objects) $(products)

# By the kernel, if it runs programs of i386 (libc6-i386), and else by qemu-user. Those of aarch64 always by that: where the
# kernel takes them it hands them to it as well.
kernel_runs_i386 := /lib/ld-linux.so.2 --version >/dev/null 2>&1
emulator  := $(if $(ARCH),$(shell $(or $(kernel_runs_$(ARCH)),false) || echo qemu-$(ARCH)-static))
tested    := $(BUILD)$(if $(emulator),/emulated)
told_with := PROCESSOR=$(ARCH) $(if $(emulator),TEST_LIMIT=30m \
             EMULATOR="$$($(emulator) --version | sed -n 's/ version \([0-9.]*\).*/ \1/p')")
stories_of = $(patsubst %,$(BUILD:%/$(ARCH)=%)/tests/system/test_%,$(1))
foreign-check: $(if $(emulator),emulated-folder)
	@echo '== programs of $(ARCH) are run by $(or $(emulator),the kernel)'
	$(told_with) ./tests/run $(tested) $(foreign_unit:%=$(tested)/%) $(call stories_of,$(foreign_stories))

# About a guardian that is this machine's, beside a target that is not.
mixed-check: foreign-check
	@mkdir -p $(tested)/mixed
	ln -f $(tested)/libgrace.so $(tested)/mixed # a link of the other kind leads to its own grace
	ln -sfn ../hooks ../tests $(abspath $(BUILD)/../grace) $(tested)/mixed
	$(told_with) ./tests/run $(tested)/mixed $(call stories_of,guardian guardian_stop)

# In the folder "emulated" tests/emulated.c stands for each program. What qemu-user does not do is skipped.
emulated-folder: $(BUILD)/tests/emulated
	@mkdir -p $(tested)/tests/unit $(tested)/tests/programs
	ln -f $(BUILD)/libgrace.so $(BUILD)/libgrace-db.so $(tested)
	ln -sfn ../hooks ../obj $(tested)
	ln -sfn ../../tests/hooks ../../tests/objects $(tested)/tests
	for program in grace $(foreign_unit) $(program_src:%.c=%) tests/programs/server; do \
	    ln -f $< $(tested)/$$program; done

# This machine's, and static, whichever library the environment would have loaded into it. Of libraries libc6-i386's stand
# where programs look for them.
libraries_i386    := /
libraries_aarch64 := /usr/aarch64-linux-gnu
$(BUILD)/tests/emulated: tests/emulated.c Makefile | $(BUILD)/deps.built
	@mkdir -p $(@D)
	gcc -std=gnu11 -D_GNU_SOURCE -DEMULATOR='"$(emulator)"' -DLIBRARIES='"$(libraries_$(ARCH))"' -O2 $(WARNINGS) -static -o $@ $<

# The unit tests under ASan and UBSan, those with threads under TSan, then the fuzzers for longer than `make check` has them
# run.
SANITIZERS := address,undefined
sanitize: $(BUILD)/deps.check
	$(MAKE) BUILD=$(BUILD)/asan OPTIMIZE='-O1 -g' \
	    SANITIZE='-fsanitize=$(SANITIZERS) -fno-sanitize-recover=all' sanitized-unit-tests
	$(MAKE) BUILD=$(BUILD)/tsan OPTIMIZE='-O1 -g' SANITIZE='-fsanitize=thread' \
	    sanitized-thread-tests
	$(MAKE) BUILD=$(BUILD) $(fuzzers)
	FUZZ_RUNS=200000 ./tests/run $(BUILD) tests/fuzz/run

# Tests of plugins load them, and run the grace command.
sanitized-unit-tests: $(unit_bin) $(test_plugins) $(test_objects) $(plugins) $(BUILD)/grace
	./tests/run $(BUILD) $(unit_bin)

sanitized-thread-tests: $(BUILD)/tests/unit/test_worker $(BUILD)/tests/unit/test_log
	./tests/run $(BUILD) $^

FUZZ_FLAGS := -std=gnu11 -O1 -g -fsanitize=fuzzer,$(SANITIZERS) -fno-sanitize-recover=all
$(BUILD)/fuzz/config: tests/fuzz/config.c $(config_src) $(BUILD)/obj/libconfig.o $(wildcard config/*.h)
	@mkdir -p $(@D)
	clang $(CPPFLAGS) $(FUZZ_FLAGS) -o $@ $(filter %.c %.o,$^)

# What reads a ledger is watched; what it calls is not.
fuzzed := ops/keeper.c hooks/successor.c $(wildcard hooks/ledger*.c)
$(BUILD)/fuzz/ledger: tests/fuzz/ledger.c $(fuzzed) $(BUILD)/obj/ops/servers.o $(BUILD)/libgrace.a $(wildcard hooks/*.h ops/*.h)
	@mkdir -p $(@D)
	clang $(CPPFLAGS) $(FUZZ_FLAGS) -o $@ $(filter %.c %.o %.a,$^)

# Which lines ran, by gcov, in unit and system tests. It shows in a target that its libgrace.so is such a one: a file
# tells which tests fail by that. Not counted is what ran in a process that ended by _exit, a crash or SIGKILL.
coverage: $(BUILD)/deps.check
	find $(BUILD) -name '*.gcda' -delete
	$(MAKE) BUILD=$(BUILD)/coverage COVERAGE=1 OPTIMIZE=-g SANITIZE='--coverage -fprofile-update=atomic' tests
	$(MAKE) BUILD=$(BUILD)/coverage run-for-coverage
	./tests/coverage $(BUILD)/coverage

run-for-coverage:
	GCOV_ERROR_FILE=/dev/null ./tests/run $(BUILD) $(unit_bin) $(system_bin) >$(BUILD)/tests.log 2>&1 || \
	    { echo 'counted with tests that fail: $(BUILD)/tests.log'; tail -n 1 $(BUILD)/tests.log; }

ifdef COVERAGE
$(BUILD)/tests/coverage.o $(BUILD)/tests/coverage_db.o: CFLAGS += -fPIC
$(BUILD)/libgrace.so: $(BUILD)/tests/coverage.o
$(BUILD)/libgrace.so: LDFLAGS += -Wl,--wrap=grace_end
$(BUILD)/libgrace-db.so: $(BUILD)/tests/coverage_db.o
$(BUILD)/libgrace-db.so: LDFLAGS += -Wl,--wrap=grace_db_threads_at_work
endif

# ---- benchmarks ----------------------------------------------------------------------------------

# Figures beside their floors, peers and budgets, all measured in this run. Never fails: it measures, it
# does not test. FORMAT=--json for machines; ONLY=drain,start for parts: each is a file of tests/bench.
bench_obj := $(patsubst tests/%.c,$(BUILD)/tests/%.o,$(wildcard tests/bench/*.c)) $(loss_obj)
bench_programs := $(patsubst tests/%.c,$(BUILD)/tests/%,$(wildcard tests/bench/programs/*.c))
bench_programs := $(patsubst %/hook_stamp,%/hook_stamp.so,$(bench_programs)) $(BUILD)/tests/bench/programs/empty.so

$(BUILD)/tests/bench/bench: $(bench_obj)
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ -lpthread

# Bound at the start, as services are built: else each child of a fork would look its calls up anew.
$(BUILD)/tests/bench/programs/%: tests/bench/programs/%.c Makefile | $(BUILD)/deps.built
	@mkdir -p $(@D)
	$(CC) -I. -std=gnu11 -D_GNU_SOURCE -O2 $(WARNINGS) $($*_include) -MMD -MP -Wl,-z,now -o $@ $< -lpthread $($*_libs)

statements_sqlite_libs   := -lsqlite3
statements_libpq_libs    := -lpq
statements_libpq_include := $(shell pkg-config --cflags libpq 2>/dev/null)

$(BUILD)/tests/bench/programs/%.so: tests/bench/programs/%.c Makefile | $(BUILD)/deps.built
	@mkdir -p $(@D)
	$(CC) -I. -std=gnu11 -D_GNU_SOURCE -O2 $(WARNINGS) -MMD -MP -fPIC -shared -o $@ $<

# What a preload costs that does nothing.
$(BUILD)/tests/bench/programs/empty.so: | $(BUILD)/deps.built
	@mkdir -p $(@D)
	echo 'extern int empty; int empty;' | $(CC) -O2 -fPIC -shared -x c -o $@ -

# What cannot be installed is a row that says so.
bench: $(products) $(BUILD)/tests/bench/bench $(bench_programs) $(program_folders)
	@./tests/deps bench >&2 || echo 'make bench: going on without what could not be installed' >&2
	@$(BUILD)/tests/bench/bench $(FORMAT) $(ONLY:%=--only %) $(BUILD)

# ---- lint ----------------------------------------------------------------------------------------

# Each file is looked at again only after it, a header or the settings changed.
lint_src  := $(filter-out tests/programs/hooks/%,$(wildcard config/*.c hooks/*.c hooks/*/*.c shim/*.c shim/*/*.c ops/*.c tests/*.c \
             tests/unit/*.c tests/system/*.c tests/bench/*.c tests/loss/*.c))
lint_hdr  := $(wildcard config/*.h hooks/*.h hooks/*/*.h shim/*.h shim/*/*.h ops/*.h tests/*.h tests/*/*.h)
formatted := $(lint_src) $(lint_hdr) $(wildcard tests/programs/*.c tests/programs/*/*.c tests/programs/*.cc \
             tests/programs/*/*.cc tests/fuzz/*.c tests/bench/programs/*.c examples/*/*.c)
manuals   := $(wildcard config/*.[1-8] hooks/*.[1-8] shim/*.[1-8] ops/*.[1-8])
scripts   := .ci/run examples/common.sh ops/completion/grace.bash debian/libgrace-bin.postrm \
             $(shell grep -lE '^\#!.*sh$$' tests/* tests/bench/* tests/fuzz/* examples/*/* 2>/dev/null)

lint: $(BUILD)/lint/format $(lint_src:%=$(BUILD)/lint/%.tidy) $(BUILD)/lint/cppcheck \
      $(BUILD)/lint/scripts $(BUILD)/lint/manuals

$(BUILD)/deps.lint:
	./tests/deps build lint
	@mkdir -p $(BUILD) && touch $@

$(BUILD)/lint/format: $(formatted) .clang-format | $(BUILD)/deps.lint
	clang-format --dry-run -Werror $(formatted)
	@mkdir -p $(@D) && touch $@

$(BUILD)/lint/%.tidy: % $(lint_hdr) .clang-tidy | $(BUILD)/deps.lint
	clang-tidy --quiet $< -- $(CPPFLAGS) -DGRACE_SOURCE='""' -DGRACE_CC='"cc"' -DEMULATOR='""' -DLIBRARIES='""' -std=gnu11 2>$(BUILD)/tidy.$(notdir $<).err || \
	    { cat $(BUILD)/tidy.$(notdir $<).err; exit 1; }
	@rm -f $(BUILD)/tidy.$(notdir $<).err; mkdir -p $(@D) && touch $@

$(BUILD)/lint/cppcheck: $(lint_src) $(lint_hdr) .cppcheck | $(BUILD)/deps.lint
	cppcheck --quiet --enable=warning,performance,portability --error-exitcode=1 --inline-suppr \
	    --suppressions-list=.cppcheck --std=c11 $(CPPFLAGS) -D__linux__ -D__GLIBC__=2 -D__x86_64__ '-DElfW(type)=Elf64_##type' config hooks shim ops
	@mkdir -p $(@D) && touch $@

$(BUILD)/lint/scripts: $(scripts) | $(BUILD)/deps.lint
	shellcheck $(scripts)
	@mkdir -p $(@D) && touch $@

$(BUILD)/lint/manuals: $(manuals) | $(BUILD)/deps.lint
	mandoc -T lint -W warning $(manuals)
	@mkdir -p $(@D) && touch $@

# ---- installation --------------------------------------------------------------------------------

INSTALL   ?= install
PLUGINDIR  = $(LIBDIR)/grace/hooks
PCDIR      = $(LIBDIR)/pkgconfig
MANDIR     = $(PREFIX)/share/man
DOCDIR     = $(PREFIX)/share/doc/libgrace
BASHDIR    = $(PREFIX)/share/bash-completion/completions
ZSHDIR     = $(PREFIX)/share/zsh/site-functions
documents := README.md CHANGELOG.md LICENSE config/grace.conf.example

# Where a file goes: section N into manN.
manual_to  = $(MANDIR)/man$(subst .,,$(suffix $(1)))
libraries  = $(LIBDIR)/libgrace.so $(LIBDIR)/libgrace-db.so $(plugins:$(BUILD)/hooks/%=$(PLUGINDIR)/%)
installed  = $(PREFIX)/bin/grace $(PREFIX)/include/grace_hook.h $(PCDIR)/grace.pc \
             $(addprefix $(DOCDIR)/,$(notdir $(documents)) hooks.md) \
             $(foreach page,$(manuals),$(call manual_to,$(page))/$(notdir $(page))) \
             $(MANDIR)/man1/grace-status.1 $(BASHDIR)/grace $(ZSHDIR)/_grace

# Debug information stays in the build folder; STRIP= keeps it. After an installation into the running
# system LD_PRELOAD=libgrace.so is found by name (ldconfig).
STRIP ?= -s --strip-program=$(shell $(CC) -print-prog-name=strip)
install: install-libraries $(BUILD)/grace
	$(INSTALL) -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/include $(DESTDIR)$(PCDIR) $(DESTDIR)$(DOCDIR) \
	    $(sort $(foreach page,$(manuals),$(DESTDIR)$(call manual_to,$(page))))
	$(INSTALL) -m 755 $(STRIP) $(BUILD)/grace $(DESTDIR)$(PREFIX)/bin
	$(INSTALL) -m 644 hooks/grace_hook.h $(DESTDIR)$(PREFIX)/include
	sed 's|@PREFIX@|$(PREFIX)|; s|@LIBDIR@|$(LIBDIR:$(PREFIX)/%=$${prefix}/%)|; s|@VERSION@|$(VERSION)|' \
	    hooks/grace.pc.in >$(DESTDIR)$(PCDIR)/grace.pc
	$(INSTALL) -m 644 $(documents) $(DESTDIR)$(DOCDIR)
	$(INSTALL) -m 644 hooks/README.md $(DESTDIR)$(DOCDIR)/hooks.md
	$(INSTALL) -D -m 644 ops/completion/grace.bash $(DESTDIR)$(BASHDIR)/grace
	$(INSTALL) -D -m 644 ops/completion/_grace $(DESTDIR)$(ZSHDIR)/_grace
	$(foreach page,$(manuals),$(INSTALL) -m 644 $(page) $(DESTDIR)$(call manual_to,$(page)) &&) true
	ln -sf grace-ps.1 $(DESTDIR)$(MANDIR)/man1/grace-status.1

# What lives in the target, and its plugins, in the folder of its architecture: $LIB in LD_PRELOAD. That is all
# that a second architecture adds beside the command of the first, and all that it takes away.
install-libraries: $(filter-out $(BUILD)/grace,$(products))
	$(INSTALL) -d $(DESTDIR)$(PLUGINDIR)
	$(INSTALL) -m 644 $(STRIP) $(BUILD)/libgrace.so $(BUILD)/libgrace-db.so $(DESTDIR)$(LIBDIR)
	$(INSTALL) -m 644 $(STRIP) $(plugins) $(DESTDIR)$(PLUGINDIR)
	@[ -n '$(DESTDIR)' ] || ldconfig || echo 'run ldconfig as root, or use the whole path in LD_PRELOAD'

remove_empty = for folder in $(1); do [ ! -d $(DESTDIR)$$folder ] || rmdir --ignore-fail-on-non-empty $(DESTDIR)$$folder; done
uninstall: uninstall-libraries
	rm -f $(installed:%=$(DESTDIR)%)
	$(call remove_empty,$(DOCDIR))

uninstall-libraries:
	rm -f $(libraries:%=$(DESTDIR)%)
	$(call remove_empty,$(PLUGINDIR) $(LIBDIR)/grace)
	@[ -n '$(DESTDIR)' ] || ldconfig || true

# Debian packages, in $(BUILD)/deb: built from a copy of the sources, since dpkg-buildpackage cleans first. What
# git does not know is no source; without git everything is.
sources = { git ls-files -z 2>/dev/null || find . -path ./$(BUILD) -prune -o -type f -print0; }
deb:
	./tests/deps build deb
	rm -rf $(BUILD)/deb && mkdir -p $(BUILD)/deb/libgrace-$(VERSION)
	$(sources) | tar -c --null -T - | tar -x -C $(BUILD)/deb/libgrace-$(VERSION)
	cd $(BUILD)/deb/libgrace-$(VERSION) && [ "$$(dpkg-parsechangelog -S Version)" = '$(VERSION)' ] || \
	    { echo 'debian/changelog: expected version $(VERSION), as in the Makefile' >&2; exit 1; }
	cd $(BUILD)/deb/libgrace-$(VERSION) && env -u MAKEFLAGS -u MAKEOVERRIDES -u MAKELEVEL dpkg-buildpackage --no-sign -j
	lintian --allow-root --fail-on error,warning $(BUILD)/deb/*.changes
	rm -r $(BUILD)/deb/libgrace-$(VERSION)

# Two minutes or more, as root, with network: not part of `make check`.
check-deb: deb
	./tests/packages $(BUILD)

clean:
	rm -rf $(BUILD)

.PHONY: all deps tests check check-i386 check-aarch64 foreign-tests foreign-check mixed-check emulated-folder demo bench lint sanitize sanitized-unit-tests sanitized-thread-tests coverage run-for-coverage install install-libraries uninstall uninstall-libraries deb check-deb clean
.DELETE_ON_ERROR:
.SECONDARY:
-include $(shell find $(BUILD) -type f -name '*.d' 2>/dev/null)
