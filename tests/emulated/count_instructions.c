// A plugin of QEMU's user emulation that counts the instructions of the emulated CPU and writes their number to the
// standard error at exit. Of one thread: the counter is not atomic. Debian's qemu-user can load plugins but has no
// qemu-plugin.h, so what this needs of the interface, version 1, is declared here.
#include <inttypes.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define EXPORT __attribute__((visibility("default")))

typedef uint64_t Plugin;
struct qemu_plugin_tb;
enum { kAddU64 = 0 };

size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb* block);
void qemu_plugin_register_vcpu_tb_trans_cb(Plugin id, void (*translated)(Plugin, struct qemu_plugin_tb*));
void qemu_plugin_register_vcpu_tb_exec_inline(struct qemu_plugin_tb* block, int operation, void* counter,
                                              uint64_t addend);
void qemu_plugin_register_atexit_cb(Plugin id, void (*at_exit)(Plugin, void*), void* context);

static uint64_t count;

// A block is translated once; each time it runs, its length is added.
static void translated(Plugin id, struct qemu_plugin_tb* block) {
  (void)id;
  qemu_plugin_register_vcpu_tb_exec_inline(block, kAddU64, &count, qemu_plugin_tb_n_insns(block));
}

static void at_exit(Plugin id, void* context) {
  (void)id;
  (void)context;
  fprintf(stderr, "instructions %" PRIu64 "\n", count);
}

EXPORT int qemu_plugin_version = 1;

EXPORT int qemu_plugin_install(Plugin id, const void* about, int arguments, char** values) {
  (void)about;
  (void)arguments;
  (void)values;
  qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
  qemu_plugin_register_atexit_cb(id, at_exit, NULL);
  return 0;
}
