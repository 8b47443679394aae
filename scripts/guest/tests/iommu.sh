# The disk behind the guest's IOMMU: which it is, checksums through it, and no fault.
# environment: SIZE=24M of the disk is used. Destroys what is there.
#              DOMAIN=DMA: what the kernel must use, DMA for strict, DMA-FQ for lazy invalidation
# QEMU arguments: -device intel-iommu,intremap=off,device-iotlb=on; GUEST_DISK_OPTIONS=iommu_platform=on,ats=on;
# GUEST_APPEND="intel_iommu=on iommu.strict=1"
# shellcheck shell=sh source=scripts/guest/tests/lib.sh
. /run/rig/lib.sh

dmesg | grep -q "DMAR: IOMMU enabled" || fail "the guest has no IOMMU"
has_feature 33 || fail "the disk is not behind it: no VIRTIO_F_ACCESS_PLATFORM"
group=$(readlink -f "/sys/block/${DISK##*/}/device/../iommu_group") || fail "the disk is in no group of the IOMMU"
domain=$(cat "$group/type")
[ "$domain" = "${DOMAIN:-DMA}" ] || fail "domain $domain instead of ${DOMAIN:-DMA}"
say "domain $domain, group ${group##*/}, $(cat "/sys/block/${DISK##*/}/mq/0/nr_tags") tags a queue"

# There may be some from before: firmware leaves its queue behind, and QEMU looks at it when the IOMMU is switched on.
faults() {
  dmesg | grep -c "DMAR: \[DMA" || true
}
before=$(faults)
check "fio" fio --name=iommu --filename="$DISK" --size="${SIZE:-24M}" --rw=randrw --bsrange=4k-256k --direct=1 \
  --ioengine=libaio --iodepth=16 --numjobs=1 --verify=crc32c --verify_fatal=1 --do_verify=1 --randrepeat=0 --minimal
check "fio" fio --name=small --filename="$DISK" --size=4M --rw=randwrite --bs=4k --direct=1 --ioengine=io_uring \
  --iodepth=32 --verify=crc32c --verify_fatal=1 --do_verify=1 --randrepeat=0 --minimal
[ "$(faults)" = "$before" ] || fail "faults: $(dmesg | grep 'DMAR: \[DMA' | tail -n 3)"
say "verified, without a fault"
