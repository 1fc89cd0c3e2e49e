module cni-live-migration/matrix

go 1.26
