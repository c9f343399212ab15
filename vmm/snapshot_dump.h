#ifndef X
#define X
#include "hull/err.h"
int snapshot_dump(const char *dir, struct err *err);
#endif
