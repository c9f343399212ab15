#include "hull/arch.h"
#include "hull/block.h"
#include "open_disk.h"
#include <errno.h>
#pragma GCC diagnostic ignored "-Wunused-parameter"
int snapshot_dump(const char *dir, struct err *err);
int snapshot_dump(const char *dir, struct err *err){return -ENOSYS;}
enum snapshot_arch arch_snapshot(void){return SNAPSHOT_X86_64;}
void arch_cpu_model_save(const struct arch_cpu_model *model, struct snapshot_writer *writer){}
void arch_vcpu_save(struct vcpu *vcpu, struct snapshot_writer *writer){}
void arch_vm_save(struct vm *vm, struct snapshot_writer *writer){}
int arch_cpu_model_load(struct arch_cpu_model **ret_model, const struct vm *vm, unsigned cpus, struct snapshot *snapshot, struct err *err){return -ENOSYS;}
int arch_vm_load(struct vm *vm, struct snapshot *snapshot, struct err *err){return 0;}
int arch_vcpu_load(struct vcpu *vcpu, struct snapshot *snapshot, struct err *err){return 0;}
int arch_clocks_load(struct vm *vm, struct vcpu *vcpus, unsigned count, struct snapshot *snapshot, struct err *err){return 0;}
int block_copy(struct block_backend *b, int fd, const int *stop, struct err *err){return -ENOSYS;}
int disk_file_open_as(struct disk_file *ret, const struct config_disk *d, int fd, uint64_t size, struct err *err){return -1;}
int disk_file_open_copy(struct disk_file *ret, const struct config_disk *d, int fd, const char *dir, struct err *err){return -1;}
const char *disk_file_scratch_dir(void){return "/tmp";}
