#compdef edgepose
# Tab completion of edgepose for zsh.
_edgepose() {
    local at=edgepose word files=''
    local -a found
    for word in "${(@)words[2,CURRENT-1]}"; do
        case "$at $word" in
            "edgepose run"|"edgepose detect"|"edgepose watch"|"edgepose record"|"edgepose replay"|"edgepose score"|"edgepose config"|"edgepose config check"|"edgepose config show"|"edgepose config init"|"edgepose config schema"|"edgepose config docs"|"edgepose web"|"edgepose web token"|"edgepose doctor"|"edgepose models"|"edgepose models show"|"edgepose models fetch"|"edgepose eval"|"edgepose bench"|"edgepose demo"|"edgepose completion") at+=" $word" ;;
        esac
    done
    case "$at ${words[CURRENT-1]}" in
        "edgepose run -c"|"edgepose run --config") found=(); files=1 ;;
        "edgepose run --source") found=(); files=1 ;;
        "edgepose run --model") found=('coral-movenet-lightning' 'coral-movenet-lightning-edgetpu' 'coral-posenet' 'coral-posenet-16' 'coral-posenet-16-edgetpu' 'coral-posenet-raw' 'movenet-lightning' 'movenet-lightning-int8' 'movenet-multipose' 'movenet-thunder' 'movenet-thunder-int8' 'posenet' 'posenet-257' 'posenet-481x641' 'posenet-uint8') ;;
        "edgepose run --mqtt") found=() ;;
        "edgepose detect -m"|"edgepose detect --model") found=('coral-movenet-lightning' 'coral-movenet-lightning-edgetpu' 'coral-posenet' 'coral-posenet-16' 'coral-posenet-16-edgetpu' 'coral-posenet-raw' 'movenet-lightning' 'movenet-lightning-int8' 'movenet-multipose' 'movenet-thunder' 'movenet-thunder-int8' 'posenet' 'posenet-257' 'posenet-481x641' 'posenet-uint8') ;;
        "edgepose detect --policy") found=('auto' 'whole' 'follow' 'refine') ;;
        "edgepose detect -o"|"edgepose detect --output") found=(); files=1 ;;
        "edgepose detect --threads") found=() ;;
        "edgepose detect --max-people") found=() ;;
        "edgepose detect --min-score") found=() ;;
        "edgepose detect --min-keypoint-score") found=() ;;
        "edgepose watch --mqtt") found=() ;;
        "edgepose watch --ca-file") found=(); files=1 ;;
        "edgepose watch -c"|"edgepose watch --config") found=(); files=1 ;;
        "edgepose watch --device") found=() ;;
        "edgepose watch --camera") found=() ;;
        "edgepose watch --base-topic") found=() ;;
        "edgepose record --mqtt") found=() ;;
        "edgepose record --ca-file") found=(); files=1 ;;
        "edgepose record -c"|"edgepose record --config") found=(); files=1 ;;
        "edgepose record --device") found=() ;;
        "edgepose record --camera") found=() ;;
        "edgepose record --base-topic") found=() ;;
        "edgepose record -o"|"edgepose record --output") found=(); files=1 ;;
        "edgepose record --for") found=() ;;
        "edgepose replay --mqtt") found=() ;;
        "edgepose replay --ca-file") found=(); files=1 ;;
        "edgepose replay --device") found=() ;;
        "edgepose replay --speed") found=() ;;
        "edgepose replay -c"|"edgepose replay --config") found=(); files=1 ;;
        "edgepose score -c"|"edgepose score --config") found=(); files=1 ;;
        "edgepose config init --source") found=(); files=1 ;;
        "edgepose config init --broker") found=() ;;
        "edgepose web token -c"|"edgepose web token --config") found=(); files=1 ;;
        "edgepose doctor -c"|"edgepose doctor --config") found=(); files=1 ;;
        "edgepose models -c"|"edgepose models --config") found=(); files=1 ;;
        "edgepose models fetch --to") found=(); files=1 ;;
        "edgepose eval --images") found=(); files=1 ;;
        "edgepose eval --annotations") found=() ;;
        "edgepose eval -m"|"edgepose eval --model") found=('coral-movenet-lightning' 'coral-movenet-lightning-edgetpu' 'coral-posenet' 'coral-posenet-16' 'coral-posenet-16-edgetpu' 'coral-posenet-raw' 'movenet-lightning' 'movenet-lightning-int8' 'movenet-multipose' 'movenet-thunder' 'movenet-thunder-int8' 'posenet' 'posenet-257' 'posenet-481x641' 'posenet-uint8') ;;
        "edgepose eval --policy") found=('auto' 'whole' 'follow' 'refine') ;;
        "edgepose eval --threads") found=() ;;
        "edgepose eval --max-people") found=() ;;
        "edgepose eval --min-score") found=() ;;
        "edgepose eval --bootstrap") found=() ;;
        "edgepose bench -m"|"edgepose bench --model") found=('coral-movenet-lightning' 'coral-movenet-lightning-edgetpu' 'coral-posenet' 'coral-posenet-16' 'coral-posenet-16-edgetpu' 'coral-posenet-raw' 'movenet-lightning' 'movenet-lightning-int8' 'movenet-multipose' 'movenet-thunder' 'movenet-thunder-int8' 'posenet' 'posenet-257' 'posenet-481x641' 'posenet-uint8') ;;
        "edgepose bench --policy") found=('auto' 'whole' 'follow') ;;
        "edgepose bench --source") found=(); files=1 ;;
        "edgepose bench --mqtt") found=() ;;
        "edgepose bench --threads") found=() ;;
        "edgepose bench --interpreters") found=() ;;
        "edgepose bench --frames") found=() ;;
        "edgepose bench --rounds") found=() ;;
        "edgepose bench --marks") found=() ;;
        "edgepose demo --source") found=(); files=1 ;;
        "edgepose demo --model") found=('coral-movenet-lightning' 'coral-movenet-lightning-edgetpu' 'coral-posenet' 'coral-posenet-16' 'coral-posenet-16-edgetpu' 'coral-posenet-raw' 'movenet-lightning' 'movenet-lightning-int8' 'movenet-multipose' 'movenet-thunder' 'movenet-thunder-int8' 'posenet' 'posenet-257' 'posenet-481x641' 'posenet-uint8') ;;
        *)
            case "$at" in
                "edgepose")
                    found=('run:run the daemon: process cameras, publish over MQTT' 'detect:find people in pictures and videos' 'watch:show live messages in the terminal' 'record:record what running devices publish' 'replay:publish a recording again' 'score:measure events against labels of a recording' 'config:check, show or create a configuration file' 'web:create the token for access to the page' 'doctor:check camera, model, broker and machine' 'models:list models, or describe a .tflite file' 'eval:measure accuracy on pictures in COCO'\''s format' 'bench:compare the daemon with bare inference' 'demo:run the daemon on the bundled clip, with a broker' 'completion:print tab completion for a shell' '-h:show this help message and exit' '--help:show this help message and exit' '-V:show program'\''s version number and exit' '--version:show program'\''s version number and exit' '--debug:log debug messages; print tracebacks')
                    ;;
                "edgepose run")
                    found=('-h:show this help message and exit' '--help:show this help message and exit' '--debug:log debug messages; print tracebacks' '-c:configuration file; default /etc/edgepose/edgepose.toml' '--config:configuration file; default /etc/edgepose/edgepose.toml' '--source:use this source instead' '--model:use this model' '--mqtt:use this broker' '--once:stop at the end of a finite source')
                    ;;
                "edgepose detect")
                    found=('-h:show this help message and exit' '--help:show this help message and exit' '--debug:log debug messages; print tracebacks' '-m:name or .tflite; default refined' '--model:name or .tflite; default refined' '--policy:area to process' '-o:picture, folder or video' '--output:picture, folder or video' '--json:one JSON message a line' '--single:one person, decoded as in the article' '--threads:threads of one inference; default 0: all cores but one' '--max-people:at most, in a picture; default 6' '--min-score:omit people below this score, 0 to 1; default: the model'\''s own' '--min-keypoint-score:omit joints below this score, 0 to 1; default 0.3')
                    files=1
                    ;;
                "edgepose watch")
                    found=('-h:show this help message and exit' '--help:show this help message and exit' '--debug:log debug messages; print tracebacks' '--mqtt:the broker, mqtt://[USER[:PASSWORD]@]HOST[:PORT]; default: that of the configuration, or mqtt://localhost:1883 if it has none. A password can also be given in the environment variable EDGEPOSE_MQTT_PASSWORD' '--ca-file:certificate of the broker'\''s CA' '-c:file with the broker'\''s address; default /etc/edgepose/edgepose.toml' '--config:file with the broker'\''s address; default /etc/edgepose/edgepose.toml' '--device:only this device' '--camera:only this camera' '--base-topic:first part of the topics; default that of the configuration, or edgepose')
                    ;;
                "edgepose record")
                    found=('-h:show this help message and exit' '--help:show this help message and exit' '--debug:log debug messages; print tracebacks' '--mqtt:the broker, mqtt://[USER[:PASSWORD]@]HOST[:PORT]; default: that of the configuration, or mqtt://localhost:1883 if it has none. A password can also be given in the environment variable EDGEPOSE_MQTT_PASSWORD' '--ca-file:certificate of the broker'\''s CA' '-c:file with the broker'\''s address; default /etc/edgepose/edgepose.toml' '--config:file with the broker'\''s address; default /etc/edgepose/edgepose.toml' '--device:only this device' '--camera:only this camera' '--base-topic:first part of the topics; default that of the configuration, or edgepose' '-o:new file, .mcap for MCAP; default or -: JSON Lines to standard output' '--output:new file, .mcap for MCAP; default or -: JSON Lines to standard output' '--for:stop after this many seconds')
                    ;;
                "edgepose replay")
                    found=('-h:show this help message and exit' '--help:show this help message and exit' '--debug:log debug messages; print tracebacks' '--mqtt:the broker, mqtt://[USER[:PASSWORD]@]HOST[:PORT]; default: that of the configuration, or mqtt://localhost:1883 if it has none. A password can also be given in the environment variable EDGEPOSE_MQTT_PASSWORD' '--ca-file:certificate of the broker'\''s CA' '--device:publish as this device' '--speed:2: twice as fast; 0: at once' '--now:shift the times to now' '--retain:publish states as retained messages' '--events:derive events and states from the poses' '-c:file with the broker'\''s address, and with --events zones and events; default /etc/edgepose/edgepose.toml' '--config:file with the broker'\''s address, and with --events zones and events; default /etc/edgepose/edgepose.toml' '--print:print the payloads, without a broker, at once')
                    files=1
                    ;;
                "edgepose score")
                    found=('-h:show this help message and exit' '--help:show this help message and exit' '--debug:log debug messages; print tracebacks' '-c:zones and events; default /etc/edgepose/edgepose.toml' '--config:zones and events; default /etc/edgepose/edgepose.toml' '--recorded:score the recorded events, not new ones' '--json:print JSON, for programs')
                    files=1
                    ;;
                "edgepose config")
                    found=('check:check a file' 'show:print all values, defaults included' 'init:write a commented file to start from' 'schema:print the JSON Schema of the file' 'docs:print the reference of all keys, in Markdown' '-h:show this help message and exit' '--help:show this help message and exit' '--debug:log debug messages; print tracebacks')
                    ;;
                "edgepose config check")
                    found=('-h:show this help message and exit' '--help:show this help message and exit')
                    files=1
                    ;;
                "edgepose config show")
                    found=('-h:show this help message and exit' '--help:show this help message and exit')
                    files=1
                    ;;
                "edgepose config init")
                    found=('-h:show this help message and exit' '--help:show this help message and exit' '--source:source of the camera; auto: the first camera found' '--broker:address of the broker' '--force:overwrite an existing file')
                    files=1
                    ;;
                "edgepose config schema")
                    found=('-h:show this help message and exit' '--help:show this help message and exit')
                    ;;
                "edgepose config docs")
                    found=('-h:show this help message and exit' '--help:show this help message and exit')
                    ;;
                "edgepose web")
                    found=('token:create a token and print it' '-h:show this help message and exit' '--help:show this help message and exit' '--debug:log debug messages; print tracebacks')
                    ;;
                "edgepose web token")
                    found=('-h:show this help message and exit' '--help:show this help message and exit' '--read-only:a token for programs, valid for /api/v1/ only' '-c:configuration file; default /etc/edgepose/edgepose.toml' '--config:configuration file; default /etc/edgepose/edgepose.toml')
                    ;;
                "edgepose doctor")
                    found=('-h:show this help message and exit' '--help:show this help message and exit' '--debug:log debug messages; print tracebacks' '-c:configuration file; default /etc/edgepose/edgepose.toml' '--config:configuration file; default /etc/edgepose/edgepose.toml' '--json:print JSON, for programs and for support')
                    ;;
                "edgepose models")
                    found=('show:inputs, outputs and family of a model' 'fetch:download models and check them' '-h:show this help message and exit' '--help:show this help message and exit' '--debug:log debug messages; print tracebacks' '--json:print JSON instead of a table' '--auto:measure, and show what model.name = "auto" selects here' '--measure:like --auto, and repeat earlier measurements' '-c:with --auto: for this configuration; default /etc/edgepose/edgepose.toml' '--config:with --auto: for this configuration; default /etc/edgepose/edgepose.toml')
                    ;;
                "edgepose models show")
                    found=('-h:show this help message and exit' '--help:show this help message and exit' '--json:' 'coral-movenet-lightning' 'coral-movenet-lightning-edgetpu' 'coral-posenet' 'coral-posenet-16' 'coral-posenet-16-edgetpu' 'coral-posenet-raw' 'movenet-lightning' 'movenet-lightning-int8' 'movenet-multipose' 'movenet-thunder' 'movenet-thunder-int8' 'posenet' 'posenet-257' 'posenet-481x641' 'posenet-uint8')
                    ;;
                "edgepose models fetch")
                    found=('-h:show this help message and exit' '--help:show this help message and exit' '--to:folder for models; default: in the state directory' 'coral-movenet-lightning' 'coral-movenet-lightning-edgetpu' 'coral-posenet' 'coral-posenet-16' 'coral-posenet-16-edgetpu' 'coral-posenet-raw' 'movenet-lightning' 'movenet-lightning-int8' 'movenet-multipose' 'movenet-thunder' 'movenet-thunder-int8' 'posenet' 'posenet-257' 'posenet-481x641' 'posenet-uint8')
                    ;;
                "edgepose eval")
                    found=('-h:show this help message and exit' '--help:show this help message and exit' '--debug:log debug messages; print tracebacks' '--images:the pictures' '--annotations:the people in them' '-m:name or .tflite; default movenet-multipose' '--model:name or .tflite; default movenet-multipose' '--policy:area to process' '--threads:threads of one inference; default 0: all cores but one' '--max-people:at most, in a picture; default 20, as COCO' '--min-score:omit people below this score, 0 to 1; default: omit none, and measure precision and recall at the model'\''s own minimum score' '--bootstrap:resamples for an interval of AP; default none' '--json:print one JSON object')
                    ;;
                "edgepose bench")
                    found=('-h:show this help message and exit' '--help:show this help message and exit' '--debug:log debug messages; print tracebacks' '-m:the model to measure' '--model:the model to measure' '--policy:area to process' '--source:a video; default demo' '--mqtt:a broker; default: mosquitto' '--threads:threads of one inference; default 0: all cores but one' '--interpreters:inferences at the same time; default 1' '--frames:frames in each round; default 300' '--rounds:daemon and bare loop in turns; default 5' '--scaling:measure the machine'\''s best bare rate, and the daemon'\''s share of it with 1, 2 and 4 cameras' '--latency:measure the time from capture to another MQTT client, at the source'\''s own rate' '--memory:measure memory and start-up, too' '--marks:with --memory: measure memory after N frames; default 200 500 1000 2000' '--json:print JSON')
                    ;;
                "edgepose demo")
                    found=('-h:show this help message and exit' '--help:show this help message and exit' '--debug:log debug messages; print tracebacks' '--source:use this source instead' '--model:use this model')
                    ;;
                "edgepose completion")
                    found=('-h:show this help message and exit' '--help:show this help message and exit' '--debug:log debug messages; print tracebacks' 'bash' 'zsh' 'fish')
                    ;;
            esac
            ;;
    esac
    (( ${#found} )) && _describe -o edgepose found
    [[ -n $files ]] && _files
}
_edgepose "$@"
