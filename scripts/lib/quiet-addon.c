// Stands in front of the tfjs-node add-on that scripts/build-tfjs-node.js compiles.
//
// TensorFlow 2.21 writes two lines to stderr while its libraries are loaded, before it reads TF_CPP_MIN_LOG_LEVEL.
// When that variable asks for silence, stderr leads to /dev/null for just as long as the loading takes. Errors of
// the loader are thrown, not printed, so none is lost.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef void *(*register_function)(void *env, void *exports);
extern int napi_throw_error(void *env, const char *code, const char *message);

static void *load_native(void) {
  Dl_info self;
  char path[4096];
  if (!dladdr((void *)&load_native, &self)) return NULL;
  const char *slash = strrchr(self.dli_fname, '/');
  int folder = slash ? (int)(slash - self.dli_fname) : 0;
  snprintf(path, sizeof path, "%.*s/tfjs_binding_native.node", folder, self.dli_fname);
  return dlopen(path, RTLD_LAZY);
}

static void *load_quietly(void) {
  fflush(stderr);
  int saved = dup(STDERR_FILENO);
  int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
  if (saved >= 0 && nowhere >= 0) dup2(nowhere, STDERR_FILENO);
  void *library = load_native();
  fflush(stderr);
  if (saved >= 0) dup2(saved, STDERR_FILENO);
  if (saved >= 0) close(saved);
  if (nowhere >= 0) close(nowhere);
  return library;
}

void *napi_register_module_v1(void *env, void *exports) {
  const char *level = getenv("TF_CPP_MIN_LOG_LEVEL");
  void *library = level && atoi(level) > 0 ? load_quietly() : load_native();
  register_function init = library ? (register_function)dlsym(library, "napi_register_module_v1") : NULL;
  if (init) return init(env, exports);
  const char *reason = dlerror();
  napi_throw_error(env, "ERR_DLOPEN_FAILED", reason ? reason : "tfjs_binding_native.node does not load");
  return NULL;
}
