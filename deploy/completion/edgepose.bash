# Tab completion of edgepose for bash.
_edgepose() {
    local cur=${COMP_WORDS[COMP_CWORD]} path=edgepose words='' files='' i
    for ((i = 1; i < COMP_CWORD; i++)); do
        case "$path ${COMP_WORDS[i]}" in
            "edgepose run"|"edgepose detect"|"edgepose watch"|"edgepose record"|"edgepose replay"|"edgepose score"|"edgepose config"|"edgepose config check"|"edgepose config show"|"edgepose config init"|"edgepose config schema"|"edgepose config docs"|"edgepose web"|"edgepose web token"|"edgepose doctor"|"edgepose models"|"edgepose models show"|"edgepose models fetch"|"edgepose eval"|"edgepose bench"|"edgepose demo"|"edgepose completion") path+=" ${COMP_WORDS[i]}" ;;
        esac
    done
    case "$path ${COMP_WORDS[COMP_CWORD-1]}" in
        "edgepose run -c"|"edgepose run --config") words=''; files=1 ;;
        "edgepose run --source") words=''; files=1 ;;
        "edgepose run --model") words='coral-movenet-lightning coral-movenet-lightning-edgetpu coral-posenet coral-posenet-16 coral-posenet-16-edgetpu coral-posenet-raw movenet-lightning movenet-lightning-int8 movenet-multipose movenet-thunder movenet-thunder-int8 posenet posenet-257 posenet-481x641 posenet-uint8'; : ;;
        "edgepose run --mqtt") words=''; : ;;
        "edgepose detect -m"|"edgepose detect --model") words='coral-movenet-lightning coral-movenet-lightning-edgetpu coral-posenet coral-posenet-16 coral-posenet-16-edgetpu coral-posenet-raw movenet-lightning movenet-lightning-int8 movenet-multipose movenet-thunder movenet-thunder-int8 posenet posenet-257 posenet-481x641 posenet-uint8'; : ;;
        "edgepose detect --policy") words='auto whole follow refine'; : ;;
        "edgepose detect -o"|"edgepose detect --output") words=''; files=1 ;;
        "edgepose detect --threads") words=''; : ;;
        "edgepose detect --max-people") words=''; : ;;
        "edgepose detect --min-score") words=''; : ;;
        "edgepose detect --min-keypoint-score") words=''; : ;;
        "edgepose watch --mqtt") words=''; : ;;
        "edgepose watch --ca-file") words=''; files=1 ;;
        "edgepose watch -c"|"edgepose watch --config") words=''; files=1 ;;
        "edgepose watch --device") words=''; : ;;
        "edgepose watch --camera") words=''; : ;;
        "edgepose watch --base-topic") words=''; : ;;
        "edgepose record --mqtt") words=''; : ;;
        "edgepose record --ca-file") words=''; files=1 ;;
        "edgepose record -c"|"edgepose record --config") words=''; files=1 ;;
        "edgepose record --device") words=''; : ;;
        "edgepose record --camera") words=''; : ;;
        "edgepose record --base-topic") words=''; : ;;
        "edgepose record -o"|"edgepose record --output") words=''; files=1 ;;
        "edgepose record --for") words=''; : ;;
        "edgepose replay --mqtt") words=''; : ;;
        "edgepose replay --ca-file") words=''; files=1 ;;
        "edgepose replay --device") words=''; : ;;
        "edgepose replay --speed") words=''; : ;;
        "edgepose replay -c"|"edgepose replay --config") words=''; files=1 ;;
        "edgepose score -c"|"edgepose score --config") words=''; files=1 ;;
        "edgepose config init --source") words=''; files=1 ;;
        "edgepose config init --broker") words=''; : ;;
        "edgepose web token -c"|"edgepose web token --config") words=''; files=1 ;;
        "edgepose doctor -c"|"edgepose doctor --config") words=''; files=1 ;;
        "edgepose models -c"|"edgepose models --config") words=''; files=1 ;;
        "edgepose models fetch --to") words=''; files=1 ;;
        "edgepose eval --images") words=''; files=1 ;;
        "edgepose eval --annotations") words=''; : ;;
        "edgepose eval -m"|"edgepose eval --model") words='coral-movenet-lightning coral-movenet-lightning-edgetpu coral-posenet coral-posenet-16 coral-posenet-16-edgetpu coral-posenet-raw movenet-lightning movenet-lightning-int8 movenet-multipose movenet-thunder movenet-thunder-int8 posenet posenet-257 posenet-481x641 posenet-uint8'; : ;;
        "edgepose eval --policy") words='auto whole follow refine'; : ;;
        "edgepose eval --threads") words=''; : ;;
        "edgepose eval --max-people") words=''; : ;;
        "edgepose eval --min-score") words=''; : ;;
        "edgepose eval --bootstrap") words=''; : ;;
        "edgepose bench -m"|"edgepose bench --model") words='coral-movenet-lightning coral-movenet-lightning-edgetpu coral-posenet coral-posenet-16 coral-posenet-16-edgetpu coral-posenet-raw movenet-lightning movenet-lightning-int8 movenet-multipose movenet-thunder movenet-thunder-int8 posenet posenet-257 posenet-481x641 posenet-uint8'; : ;;
        "edgepose bench --policy") words='auto whole follow'; : ;;
        "edgepose bench --source") words=''; files=1 ;;
        "edgepose bench --mqtt") words=''; : ;;
        "edgepose bench --threads") words=''; : ;;
        "edgepose bench --interpreters") words=''; : ;;
        "edgepose bench --frames") words=''; : ;;
        "edgepose bench --rounds") words=''; : ;;
        "edgepose bench --marks") words=''; : ;;
        "edgepose demo --source") words=''; files=1 ;;
        "edgepose demo --model") words='coral-movenet-lightning coral-movenet-lightning-edgetpu coral-posenet coral-posenet-16 coral-posenet-16-edgetpu coral-posenet-raw movenet-lightning movenet-lightning-int8 movenet-multipose movenet-thunder movenet-thunder-int8 posenet posenet-257 posenet-481x641 posenet-uint8'; : ;;
        *)
            case "$path" in
                "edgepose") words='run detect watch record replay score config web doctor models eval bench demo completion -h --help -V --version --debug' ;;
                "edgepose run") words='-h --help --debug -c --config --source --model --mqtt --once' ;;
                "edgepose detect") words='-h --help --debug -m --model --policy -o --output --json --single --threads --max-people --min-score --min-keypoint-score'; files=1 ;;
                "edgepose watch") words='-h --help --debug --mqtt --ca-file -c --config --device --camera --base-topic' ;;
                "edgepose record") words='-h --help --debug --mqtt --ca-file -c --config --device --camera --base-topic -o --output --for' ;;
                "edgepose replay") words='-h --help --debug --mqtt --ca-file --device --speed --now --retain --events -c --config --print'; files=1 ;;
                "edgepose score") words='-h --help --debug -c --config --recorded --json'; files=1 ;;
                "edgepose config") words='check show init schema docs -h --help --debug' ;;
                "edgepose config check") words='-h --help'; files=1 ;;
                "edgepose config show") words='-h --help'; files=1 ;;
                "edgepose config init") words='-h --help --source --broker --force'; files=1 ;;
                "edgepose config schema") words='-h --help' ;;
                "edgepose config docs") words='-h --help' ;;
                "edgepose web") words='token -h --help --debug' ;;
                "edgepose web token") words='-h --help --read-only -c --config' ;;
                "edgepose doctor") words='-h --help --debug -c --config --json' ;;
                "edgepose models") words='show fetch -h --help --debug --json --auto --measure -c --config' ;;
                "edgepose models show") words='-h --help --json coral-movenet-lightning coral-movenet-lightning-edgetpu coral-posenet coral-posenet-16 coral-posenet-16-edgetpu coral-posenet-raw movenet-lightning movenet-lightning-int8 movenet-multipose movenet-thunder movenet-thunder-int8 posenet posenet-257 posenet-481x641 posenet-uint8' ;;
                "edgepose models fetch") words='-h --help --to coral-movenet-lightning coral-movenet-lightning-edgetpu coral-posenet coral-posenet-16 coral-posenet-16-edgetpu coral-posenet-raw movenet-lightning movenet-lightning-int8 movenet-multipose movenet-thunder movenet-thunder-int8 posenet posenet-257 posenet-481x641 posenet-uint8' ;;
                "edgepose eval") words='-h --help --debug --images --annotations -m --model --policy --threads --max-people --min-score --bootstrap --json' ;;
                "edgepose bench") words='-h --help --debug -m --model --policy --source --mqtt --threads --interpreters --frames --rounds --scaling --latency --memory --marks --json' ;;
                "edgepose demo") words='-h --help --debug --source --model' ;;
                "edgepose completion") words='-h --help --debug bash zsh fish' ;;
            esac
            ;;
    esac
    COMPREPLY=($(compgen -W "$words" -- "$cur"))
    if [[ $files && $cur != -* ]]; then
        compopt -o filenames 2>/dev/null
        COMPREPLY+=($(compgen -f -- "$cur"))
    fi
}
complete -F _edgepose edgepose
