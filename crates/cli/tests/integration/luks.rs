//! Encrypted images under the name of qemu-img: what one program writes the other reads.

use crate::lab::{Lab, Said, judges};
use std::process::Command;

/// Runs a shell script in the lab; `ours` is this program under the name of qemu-img, `qemu-img` the other one.
fn script(lab: &Lab, text: &str) -> Said {
    let lines = format!(
        "ours() {{ {} qemu-img \"$@\"; }}\n\
         s='--object secret,id=s,data=abc --object secret,id=t,data=def'\n\
         luks() {{ echo driver=luks,key-secret=${{2:-s}},file.filename=$1; }}\n\
         qcow2() {{ echo driver=qcow2,encrypt.key-secret=${{2:-s}},file.filename=$1; }}\n\
         {text}",
        env!("CARGO_BIN_EXE_disksmith")
    );
    let mut command = Command::new("sh");
    command
        .args(["-ec", &lines])
        .current_dir(lab.path(""))
        .env("LC_ALL", "C");
    command.output().unwrap().into()
}

/// Makes a raw disk with data, zeroes and holes in it.
fn plain(lab: &Lab) {
    script(
        lab,
        "qemu-img create -q plain 6M; \
         qemu-io -f raw -c 'write -q -P 7 1M 300k' -c 'write -q -P 9 4000k 70000' plain",
    )
    .ok();
}

#[test]
fn bare_luks_goes_both_ways() {
    if !judges(&["qemu-img", "qemu-io"]) {
        return;
    }
    let lab = Lab::new();
    plain(&lab);
    script(
        &lab,
        "ours convert $s -O luks -o key-secret=s,iter-time=1 plain a.luks
         qemu-img compare -q $s --image-opts driver=raw,file.filename=plain $(luks a.luks)
         ours compare -q $s --image-opts driver=raw,file.filename=plain $(luks a.luks)
         qemu-io $s -c 'write -q -P 5 10k 3M' --image-opts $(luks a.luks)
         ours convert $s --image-opts $(luks a.luks) -O raw b.raw
         qemu-img compare -q $s --image-opts driver=raw,file.filename=b.raw $(luks a.luks)
         # into what is there, in parts and whole
         ours convert $s -n --image-opts --target-image-opts driver=raw,file.filename=plain $(luks a.luks)
         qemu-img compare -q $s --image-opts driver=raw,file.filename=plain $(luks a.luks)
         ours resize -q $s --image-opts $(luks a.luks) 7M
         test $(qemu-img info --output=json a.luks | grep -c '\"virtual-size\": 7340032') = 1
         ours resize -q $s --shrink --image-opts $(luks a.luks) 6M
         qemu-img compare -q $s --image-opts driver=raw,file.filename=plain $(luks a.luks)
         ours create -q -f luks $s -o key-secret=s,iter-time=1,cipher-alg=twofish-256,hash-alg=sha512 c.luks 2M
         qemu-io $s -c 'write -q -P 5 0 2M' --image-opts $(luks c.luks)
         ours dd $s --image-opts -O raw bs=1M if=$(luks c.luks) of=c.raw
         qemu-img compare -q $s --image-opts driver=raw,file.filename=c.raw $(luks c.luks)",
    )
    .ok();
}

#[test]
fn a_header_may_lie_in_a_file_of_its_own() {
    if !judges(&["qemu-img", "qemu-io"]) {
        return;
    }
    let lab = Lab::new();
    script(
        &lab,
        "ours create -q -f luks $s -o key-secret=s,iter-time=1 d.luks 1M
         qemu-io $s -c 'write -q -P 5 0 1M' --image-opts $(luks d.luks)
         head -c 2068480 d.luks > header; printf '\\0\\0\\0\\0' | dd of=header bs=1 seek=104 conv=notrunc status=none
         tail -c +2068481 d.luks > payload
         opts=driver=luks,key-secret=s,file.filename=payload,header.driver=file,header.filename=header
         ours compare -q $s --image-opts $opts $(luks d.luks)
         qemu-img compare -q $s --image-opts $opts $(luks d.luks)",
    )
    .ok();
}

#[test]
fn encrypted_qcow2_goes_both_ways() {
    if !judges(&["qemu-img", "qemu-io"]) {
        return;
    }
    let lab = Lab::new();
    plain(&lab);
    for options in [
        "encrypt.format=luks,encrypt.iter-time=1",
        "encrypt.format=luks,encrypt.iter-time=1,cluster_size=512,compat=v2",
        "encrypt.format=luks,encrypt.iter-time=1,extended_l2=on,encrypt.cipher-mode=cbc,encrypt.ivgen-alg=essiv",
        "encrypt.format=luks,encrypt.iter-time=1,preallocation=metadata",
        "encrypt.format=aes",
        "encryption=on,cluster_size=4k",
    ] {
        script(
            &lab,
            &format!(
                "rm -f x.qcow2 b.raw
                 ours convert $s -O qcow2 -o encrypt.key-secret=s,{options} plain x.qcow2
                 qemu-img check -q $s --image-opts $(qcow2 x.qcow2)
                 qemu-img compare -q $s --image-opts driver=raw,file.filename=plain $(qcow2 x.qcow2)
                 ours check -q $s --image-opts $(qcow2 x.qcow2)
                 qemu-io $s -c 'write -q -P 5 100k 3M' -c 'write -q -z 2M 64k' -c 'write -q -P 1 777 1000' --image-opts \
                 $(qcow2 x.qcow2)
                 ours convert $s --image-opts $(qcow2 x.qcow2) -O raw b.raw
                 qemu-img compare -q $s --image-opts driver=raw,file.filename=b.raw $(qcow2 x.qcow2)
                 ours snapshot $s --image-opts -c one $(qcow2 x.qcow2)
                 ours convert $s -n --image-opts --target-image-opts driver=raw,file.filename=plain $(qcow2 x.qcow2)
                 qemu-img check -q $s --image-opts $(qcow2 x.qcow2)
                 qemu-img compare -q $s --image-opts driver=raw,file.filename=plain $(qcow2 x.qcow2)
                 ours snapshot $s --image-opts -a one $(qcow2 x.qcow2)
                 qemu-img compare -q $s --image-opts driver=raw,file.filename=b.raw $(qcow2 x.qcow2)
                 ours snapshot $s --image-opts -d one $(qcow2 x.qcow2)
                 ours resize -q $s --image-opts $(qcow2 x.qcow2) 9M
                 qemu-img check -q $s --image-opts $(qcow2 x.qcow2)
                 qemu-img compare -q $s --image-opts driver=raw,file.filename=b.raw $(qcow2 x.qcow2)"
            ),
        )
        .ok();
    }
}

#[test]
fn key_slots_change_for_both() {
    if !judges(&["qemu-img"]) {
        return;
    }
    let lab = Lab::new();
    script(
        &lab,
        "ours create -q -f luks $s -o key-secret=s,iter-time=1 a.luks 64k
         ours amend $s -o state=active,new-secret=t,iter-time=1 --image-opts $(luks a.luks)
         qemu-img map $s --output=json --image-opts $(luks a.luks t)
         ours amend $s -o state=inactive,old-secret=s --image-opts $(luks a.luks)
         if qemu-img map $s --output=json --image-opts $(luks a.luks); then exit 9; fi
         qemu-img map $s --output=json --image-opts $(luks a.luks t)
         ours create -q -f qcow2 $s -o encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=1 a.qcow2 64k
         ours amend $s -o encrypt.state=active,encrypt.new-secret=t,encrypt.iter-time=1 --image-opts $(qcow2 a.qcow2)
         qemu-img map $s --output=json --image-opts $(qcow2 a.qcow2 t)
         qemu-img amend $s -o encrypt.state=inactive,encrypt.keyslot=0 --image-opts $(qcow2 a.qcow2 t)
         # an overlay is made without the passphrase, and read with it
         ours create -q -f qcow2 -b a.qcow2 -F qcow2 over.qcow2
         over=driver=qcow2,backing.encrypt.key-secret=t,file.filename=over.qcow2
         ours compare -q $s --image-opts $over $(qcow2 a.qcow2 t)
         qemu-img compare -q $s --image-opts $over $(qcow2 a.qcow2 t)
         ours map $s --output=json --image-opts $(qcow2 a.qcow2 t)
         if ours map $s --output=json --image-opts $(qcow2 a.qcow2); then exit 9; fi
         qemu-img check -q $s --image-opts $(qcow2 a.qcow2 t)",
    )
    .ok();
}

#[test]
fn chains_of_encrypted_images_change_with_a_key() {
    if !judges(&["qemu-img", "qemu-io"]) {
        return;
    }
    let lab = Lab::new();
    std::fs::write(lab.path("key"), "abc").unwrap();
    let encrypted = "encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=1";
    script(
        &lab,
        &format!(
            "qemu-img create -q $s -f qcow2 -o {encrypted} base 6M
             qemu-io $s -c 'write -q -P 1 0 3M' --image-opts $(qcow2 base)
             mkdir kept
             for pair in base:mid mid:top; do
               below=${{pair%:*}} name=${{pair#*:}}
               qemu-img create -q $s -f qcow2 -o {encrypted} $name 6M
               qemu-img rebase -u -b $below -F qcow2 $s --image-opts $(qcow2 $name)
             done"
        ),
    )
    .ok();
    let chain = "driver=qcow2,encrypt.key-secret=s,file.filename=top,backing.driver=qcow2,backing.encrypt.key-secret=s,\
                 backing.file.filename=mid,backing.backing.driver=qcow2,backing.backing.encrypt.key-secret=s,\
                 backing.backing.file.filename=base";
    script(
        &lab,
        &format!(
            "qemu-io $s -c 'write -q -P 3 2M 2M' -c 'write -q -z 1M 64k' --image-opts {chain}
             qemu-img convert $s --image-opts {chain} -O raw expected
             cp base mid top kept"
        ),
    )
    .ok();
    let same = |image: &str| {
        let line = format!("compare --key file:key {image} expected");
        lab.disksmith(&line).ok();
    };
    same("top");
    for (line, looked_at) in [
        ("commit %k top", "top"),
        ("commit --base base %k top", "top"),
        ("commit --top mid --base base %k top", "top"),
        ("rebase -b base %k top", "top"),
        ("rebase -b  %k top", "top"),
        ("pull %k top", "top"),
        ("pull --base base %k top", "top"),
        ("clone %k top over", "over"),
        ("clone --full %k top copy", "copy"),
        ("snapshot import %k top one expected", "top"),
        ("amend --refcount-bits 32 %k top", "top"),
    ] {
        script(&lab, "cp kept/* .").ok();
        let arguments = |key: Option<&'static str>| -> Vec<String> {
            line.split(' ')
                .flat_map(|word| match word {
                    "%k" => key.map_or_else(Vec::new, |key| vec!["--key".to_owned(), key.to_owned()]),
                    word => vec![word.to_owned()],
                })
                .collect()
        };
        // A linked clone holds nothing yet, so it needs no key.
        if !line.starts_with("clone %k") {
            let said: Said = lab.disksmith_args(&arguments(None));
            assert!(
                said.status != 0 && said.stderr.contains("--key"),
                "{line}: {said:?}"
            );
        }
        lab.disksmith_args(&arguments(Some("file:key"))).ok();
        same(looked_at);
        for image in ["base", "mid", "top"] {
            let alone = format!(
                r#"json:{{"driver":"qcow2","encrypt.key-secret":"s","backing":null,"file.filename":"{image}"}}"#
            );
            script(&lab, &format!("qemu-img check -q $s '{alone}'")).ok();
        }
    }
    lab.disksmith("snapshot import --key file:key top one expected")
        .ok();
    lab.disksmith("snapshot export --key file:key top one out").ok();
    same("out");
    let diff = lab.disksmith("snapshot diff --key file:key top one").ok();
    assert_eq!(diff, "0 B differ\n");
    // The other program's way to say it.
    script(
        &lab,
        &format!(
            "cp kept/* .
             ours bitmap $s --add --image-opts $(qcow2 base) b
             ours commit -q $s --image-opts $(qcow2 mid),backing.encrypt.key-secret=s
             ours rebase -q $s -b '' --image-opts $(qcow2 mid),backing.encrypt.key-secret=s
             ours compare -q $s --image-opts $(qcow2 mid) $(qcow2 base)
             qemu-img check -q $s --image-opts $(qcow2 mid)
             qemu-img compare -q $s --image-opts driver=raw,file.filename=expected {chain}"
        ),
    )
    .ok();
}

#[test]
fn each_image_of_a_chain_has_its_key() {
    if !judges(&["qemu-img", "qemu-io"]) {
        return;
    }
    let lab = Lab::new();
    let encrypted = "encrypt.format=luks,encrypt.iter-time=1,encrypt.key-secret";
    script(
        &lab,
        &format!(
            "rm -rf kept; mkdir kept
             qemu-img create -q $s -f qcow2 -o {encrypted}=s base 4M
             qemu-io $s -c 'write -q -P 1 0 3M' --image-opts $(qcow2 base)
             qemu-img create -q $s -f qcow2 -o {encrypted}=t -b \
             'json:{{\"driver\":\"qcow2\",\"file.filename\":\"base\",\"encrypt.key-secret\":\"s\"}}' -F qcow2 named
             qemu-io $s -c 'write -q -P 2 1M 1M' --image-opts $(qcow2 named t)
             cp named plain
             qemu-img rebase -u -b base -F qcow2 $s --image-opts $(qcow2 plain t)
             qemu-img convert $s --image-opts $(qcow2 named t) -O raw expected
             mv base named plain kept"
        ),
    )
    .ok();
    for top in [
        "$(qcow2 named t)",
        "$(qcow2 plain t),backing.encrypt.key-secret=s",
        "$(qcow2 plain t),backing.driver=qcow2,backing.file.filename=base,backing.encrypt.key-secret=s",
    ] {
        script(
            &lab,
            &format!(
                "cp kept/* .
                 ours commit -q $s --image-opts {top}
                 cmp -s base kept/base && exit 9
                 qemu-img check -q $s --image-opts $(qcow2 base)
                 qemu-img compare -q $s --image-opts driver=raw,file.filename=expected $(qcow2 base)
                 qemu-img compare -q $s --image-opts driver=raw,file.filename=expected {top}
                 cp kept/* .
                 ours rebase -q -b '' $s --image-opts {top}
                 cmp base kept/base
                 qemu-img compare -q $s --image-opts driver=raw,file.filename=expected $(echo {top} | sed s/,backing.*//)
                 cp kept/* .
                 # a wrong key changes nothing
                 if ours commit -q $s --image-opts $(echo {top} | sed s/secret=t/secret=s/); then exit 9; fi
                 for image in base named plain; do cmp $image kept/$image; done"
            ),
        )
        .ok();
    }
}

#[test]
fn what_is_recorded_of_a_base_counts_when_it_changes() {
    if !judges(&["qemu-img", "qemu-io"]) {
        return;
    }
    let lab = Lab::new();
    for (file, base) in [
        (
            "disk",
            r#"{"driver":"raw","offset":1048576,"size":2097152,"file.filename":"disk"}"#,
        ),
        (
            "in",
            r#"{"driver":"raw","file.driver":"qcow2","file.file.filename":"in"}"#,
        ),
    ] {
        script(
            &lab,
            &format!(
                "qemu-img create -q -f raw disk 4M; qemu-img create -q -f qcow2 in 2M
                 qemu-io -f raw -c 'write -q -P 1 0 4M' disk
                 qemu-img create -q -f qcow2 -b 'json:{base}' -F raw top
                 qemu-io -f qcow2 -c 'write -q -P 2 64k 64k' top
                 cp disk disk.theirs; cp in in.theirs; cp top top.theirs
                 ours commit -q top
                 qemu-img check -q in
                 for image in disk in top; do mv $image $image.ours; mv $image.theirs $image; done
                 qemu-img commit -q top
                 cmp disk disk.ours
                 qemu-img compare -q in in.ours
                 rm -rf sub; mkdir sub; qemu-img create -q -f qcow2 -b ../top -F qcow2 sub/over
                 qemu-io -f qcow2 -c 'write -q -P 2 64k 64k' -c 'write -q -P 3 256k 64k' top
                 qemu-img convert sub/over -O raw expected
                 {} pull --base {file} sub/over
                 qemu-img compare -q sub/over expected",
                env!("CARGO_BIN_EXE_disksmith")
            ),
        )
        .ok();
    }
}

#[test]
fn a_luks_image_may_end_within_a_sector() {
    if !judges(&["qemu-img", "qemu-io"]) {
        return;
    }
    let lab = Lab::new();
    script(
        &lab,
        "for size in 1 100000; do
           ours create -q -f luks $s -o key-secret=s,iter-time=1 a.luks $size
           ours convert $s --image-opts $(luks a.luks) -O raw a.raw
           qemu-img convert $s --image-opts $(luks a.luks) -O raw b.raw
           cmp a.raw b.raw
           ours measure -O luks $s -o key-secret=s --size $size > ours.txt
           qemu-img measure -O luks $s -o key-secret=s --size $size > theirs.txt
           cmp ours.txt theirs.txt
           yes | head -c $(stat -c %s a.raw) > part
           ours convert $s -n --image-opts --target-image-opts driver=raw,file.filename=part $(luks a.luks)
           qemu-img compare -q $s --image-opts driver=raw,file.filename=part $(luks a.luks)
         done
         ours info a.luks
         # a file that ends before its sectors begin is no image
         head -c 6000 a.luks > cut
         if qemu-img info cut; then exit 8; fi
         if ours info cut; then exit 9; fi",
    )
    .ok();
}
